"""The notebook, run when the site is built, as a page with its output."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

SOURCE = Path(__file__).parents[1] / "notebook.ipynb"


def page() -> str:
    """Return the page; a cell that fails ends the build with its traceback."""
    notebook = nbformat.read(SOURCE, as_version=4)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory() as place:  # its `runs` directory lies there
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": place}}).execute()
    return "\n\n".join(part for cell in notebook.cells for part in _parts(cell)) + "\n"


def _parts(cell: Any) -> list[str]:
    if cell.cell_type == "markdown":
        return [cell.source]
    return [f"```python\n{cell.source}\n```", *filter(None, map(_shown, cell.outputs))]


def _shown(output: Any) -> str:
    """What an output shows: tables as HTML, everything else as text; what is said while working is left out."""
    data = output.get("data", {})
    if "text/html" in data:
        return f'<div class="output">\n{data["text/html"]}\n</div>'
    text = data.get("text/plain") or (output.get("text", "") if output.get("name") == "stdout" else "")
    return f"```text\n{text.rstrip()}\n```" if text else ""
