"""What the site holds beside the pages in `docs/`: pages made from the code, formulas, the notebook with its output.

MkDocs calls the functions `on_*`. Nothing here is imported by the harness.
"""

from __future__ import annotations

import re
from typing import Any

from generate import cards, cli, extraction, formulas, method_pages, notebook, records
from mkdocs.structure.files import File

# Markers in pages that stand for text made from the code.
_MARKS = {
    "card-fields": cards.fields,
    "dataset-readme": cards.built_in,
    "protocol-fields": extraction.fields,
    "protocol-table": extraction.shipped,
    "extraction-fields": extraction.record_fields,
    "record-fields": records.fields,
    "matrix-fields": records.matrix_fields,
    "submission-fields": records.submission_fields,
    "method-card-fields": method_pages.card_fields,
    "method-config-fields": method_pages.config_fields,
    "check-names": method_pages.check_names,
}


def on_config(config: Any) -> Any:
    """Put a page per method into the navigation."""
    for entry in config.nav:
        if "Methods" in entry:
            entry["Methods"] += [{title: path} for title, path in method_pages.navigation()]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made from the code."""
    made = {"reference/cli.md": cli.page(), "notebook.md": notebook.page(), **method_pages.pages()}
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put text made from the code in the place of its marker, and MathML in that of formulas."""
    return formulas.rendered(re.sub(r"<!-- made: ([a-z-]+) -->", lambda mark: _MARKS[mark[1]](), markdown))
