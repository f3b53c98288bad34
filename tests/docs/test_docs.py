"""What the documentation shows is so: commands parse, Python compiles, and copied files are the files."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import typer
import yaml

from harness.cli.app import app
from harness.data.card import PROSE, DatasetCard
from harness.data.card_parts import FrameRule
from harness.plugin.card import MethodCard
from harness.records.protocol import Protocol
from harness.records.request import Matrix
from harness.submissions.statement import Statement

ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = [ROOT / "docs", ROOT / "examples", ROOT / "datasets"]
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in _FOLDERS for page in folder.rglob("*.md"))])
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks(page: Path, language: str) -> list[str]:
    return [body for found, body in _BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of every command line of ours in a page, from blocks and from running text."""
    text = "\n".join(_blocks(page, "sh"))
    spoken = [found for found in re.findall(r"`(harness [^`]+)`", page.read_text(encoding="utf-8")) if " --" in found]
    for line in [*text.replace("\\\n", " ").splitlines(), *spoken]:
        for command in re.split(r"&&|\|", line):
            words = shlex.split(command, comments=True)
            if words and Path(words[0]).name == "harness":
                yield words[1:]


def _parsed(words: list[str]) -> None:
    """Raise unless the words are a verb of ours with options and arguments that it takes; nothing is run."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if words[0].startswith("-"):
            assert words[0] in {name for each in command.params for name in each.opts}, words
            return
        assert words[0] in command.commands, f"no verb {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    context = command.make_context("harness", [], resilient_parsing=True)
    context.resilient_parsing = False  # that let the context be made without arguments
    command.make_parser(context).parse_args(args=list(words))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_parse(page: Path) -> None:
    wrong = []
    for words in _commands(page):
        try:
            _parsed(words)
        except Exception as error:
            wrong.append(f"harness {' '.join(words)}: {error}")
    assert wrong == []


def test_the_pages_show_commands_and_the_test_tells_wrong_ones() -> None:
    assert sum(1 for page in PAGES for _ in _commands(page)) > 80
    for words in (["run", "--method", "dsanet"], ["runs"], ["data", "imports", "x"], ["compare", "--html"]):
        with pytest.raises(Exception, match=r"."):
            _parsed(words)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_python_compiles(page: Path) -> None:
    for body in _blocks(page, "python"):
        compile(body, _name(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_cards_protocols_statements_and_matrices_are_valid(page: Path) -> None:
    for body in _blocks(page, "yaml"):
        content = yaml.safe_load(body)
        marks = {"classes": DatasetCard, "crops": Protocol, "contamination": Statement}
        kind = next((kind for mark, kind in marks.items() if mark in content), Matrix)
        kind.model_validate(content)


def test_the_method_to_copy_is_the_example() -> None:
    page, example = ROOT / "docs/how-to/method.md", ROOT / "examples/harness-topk-mil"
    assert (example / "harness_topk_mil.py").read_text(encoding="utf-8") in _blocks(page, "python")
    assert (example / "pyproject.toml").read_text(encoding="utf-8") in _blocks(page, "toml")


def test_the_page_on_methods_has_every_family() -> None:
    page = (ROOT / "docs/how-to/method.md").read_text(encoding="utf-8")
    families = get_args(MethodCard.model_fields["family"].annotation)
    (line,) = re.findall(r"The card's `family` is .*?\.", page, re.DOTALL)
    assert re.findall(r"`(\w+)`", line)[1:] == list(families)


def test_the_readme_and_the_tutorial_say_one_time_of_the_first_run() -> None:
    times = [re.findall(r"\d+ min \d+ s", (ROOT / page).read_text()) for page in ("README.md", "docs/tutorial.md")]
    assert times[0] == times[1] != []


def test_the_page_on_data_sets_names_the_facts_that_an_import_may_change() -> None:
    page = (ROOT / "docs/how-to/data-set.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"what changes no run:(.*?), descriptions, further feature sets", page, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", said)) == PROSE


def test_the_page_on_data_sets_explains_the_last_line_of_an_import() -> None:
    page = (ROOT / "docs/how-to/data-set.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"^- \*frames of a test video\*.*?(?=^- )", page, re.DOTALL | re.MULTILINE)
    assert set(get_args(FrameRule)) <= set(re.findall(r"`(\w+)`", said))
    assert re.search(r"^- \*other protocols\* .*@", page, re.DOTALL | re.MULTILINE)
    assert "`harness data info shop`" in page


def test_pages_that_the_site_makes_say_so_in_their_first_line() -> None:
    for page in ("plugin", "cards"):
        text = (ROOT / f"docs/reference/{page}.md").read_text(encoding="utf-8")
        said = re.search(
            r"^# .+\n\nThis page is made when the site is built: `tox -e docs`; in Python: `help\((.+)\)`", text
        )
        assert said
        module, _, name = said[1].rpartition(".")
        assert getattr(importlib.import_module(module), name).__doc__


def test_json_is_json() -> None:
    blocks = _blocks(ROOT / "docs/reference/formats.md", "json")
    assert len(blocks) >= 5
    for body in blocks:
        json.loads(body)


def test_the_notebook_is_committed_without_output() -> None:
    notebook = json.loads((ROOT / "docs/notebook.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    for cell in cells:
        compile("".join(cell["source"]), "notebook", "exec")
