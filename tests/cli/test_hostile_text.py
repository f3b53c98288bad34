"""Hostile names through the whole command line: a data set card, a plugin and its errors, into every output."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from harness import registry
from harness.identity import code as code_identity
from tests.data.trees import Tree, ucf_tree
from tests.hostile import TEXTS, UNSHOWN, Page

Call = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).resolve().parents[2]
# Without what separates the fields of lists: commas, blanks and line ends.
CLASS = '=1+1|[red]`$x$_^%&#~{}\\*</script><script>alert(1)</script>\x1b[31m\u202e"onload="x"\u200b'
VIDEO = "=1+1[red]<b>`\x1b[31m\u202eAbuse028_x264"
EVERYTHING = " ".join(text for name, text in TEXTS.items() if name not in ("long", "half a character"))
PLUGIN = """
import torch
from harness.plugin import Method, MethodConfig, Prediction
from harness.plugin.card import MethodCard

TEXT = {text!r}

class Config(MethodConfig):
    words: str = TEXT

class Trickster(Method):
    card = MethodCard(name="trickster", title="=1+1 " + TEXT, family="mil", training="none", paper=TEXT, venue=TEXT,
                      arxiv=TEXT, aliases=(TEXT,), input_scale=TEXT)
    Config = Config
    presets = {{"=fast" + TEXT[:200]: {{}}}}

    def predict(self, features, lengths):
        return Prediction(torch.sigmoid(features.mean(2)))

class Failing(Trickster):
    card = MethodCard(name="failing", title="Failing", family="mil", training="none")
    presets = {{}}

    def predict(self, features, lengths):
        raise RuntimeError("=1+1 " + TEXT + "\\udcff")
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    place = tmp_path / "plugin"
    info = place / "trickster-1.dist-info"
    info.mkdir(parents=True)
    (place / "trickster.py").write_text(PLUGIN.format(text=EVERYTHING), encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trickster\nVersion: 1\n")
    entries = "trickster = trickster:Trickster\nfailing = trickster:Failing\n"
    (info / "entry_points.txt").write_text(f"[harness.methods]\n{entries}")
    monkeypatch.syspath_prepend(str(place))
    registry._entries.cache_clear()
    registry.method_class.cache_clear()
    code_identity._hash_of.cache_clear()
    yield
    sys.modules.pop("trickster", None)
    registry._entries.cache_clear()
    registry.method_class.cache_clear()
    code_identity._hash_of.cache_clear()


@pytest.fixture
def card(tmp_path: Path) -> tuple[Tree, str]:
    """A data set whose class, prompt, videos and prose are hostile; its directory and the path of its card."""
    tree = ucf_tree(tmp_path / "set")
    for path in tree.root.rglob("Abuse028*"):
        path.rename(path.with_name(path.name.replace("Abuse028_x264", VIDEO)))
    for name in ("train.csv", "test.csv", "annotations.txt"):
        lines = (tree.root / name).read_text(encoding="utf-8").replace("Abuse028_x264", VIDEO)
        tree.text(name, *(re.sub(r"([, ])Abuse(?=\n|  )", lambda m: m[1] + CLASS, lines).rstrip("\n").split("\n")))
    counts = {"Normal": 1, CLASS: 1, "Arrest": 1}
    splits = {name: split.model_dump() | {"classes": counts} for name, split in tree.card.splits.items()}
    classes = [{"name": name, "prompt": EVERYTHING} for name in counts]
    prose = dict.fromkeys(("title", "licence", "source", "notes"), "=1+1 " + EVERYTHING)
    tree.change(classes=classes, splits=splits, preset="=fast" + EVERYTHING[:200], **prose)
    return tree, tree.write_card()


@pytest.mark.usefixtures("plugin")
def test_every_output_shows_hostile_text_as_text(card: tuple[Tree, str], harness: Call, tmp_path: Path) -> None:
    tree, path = card
    out, printed = tmp_path / "runs", []

    def call(*arguments: str, code: int = 0) -> str:
        found, stdout, stderr = harness(*arguments)
        assert found == code, stderr
        assert "Traceback" not in stderr
        printed.append(stdout + stderr)
        return stdout

    call("data", "import", path, "--root", str(tree.root))
    for arguments in (["list", "methods"], ["list", "datasets"], ["data", "info", "small-ucf"], ["data", "list"]):
        call(*arguments)
    select = ("--dataset", "small-ucf", "--out", str(out))
    call("run", "--methods", "trickster,failing,feature-norm", "--seeds", "0,1", *select, code=1)
    call("run", "--methods", "trickster", *select, "--dry-run")
    call("list", "runs", "--out", str(out))
    call("report", "--out", str(out), "--formats", "html,md,csv,json,tex")
    call("audit", "--out", str(out))
    predictions = next(out.glob("trickster*/predictions.npz"))
    call("score", str(predictions), "--dataset", "small-ucf")
    odd = shutil.copy(predictions, tmp_path / f"{VIDEO}.npz")
    call("compare", "trickster", str(odd), "feature-norm", "--out", str(out), "--html", str(tmp_path / "page.html"))
    assert not UNSHOWN.search("".join(printed))
    _check_report(out / "report")
    _check_page(tmp_path / "page.html", several=True)


@pytest.mark.usefixtures("plugin")
def test_json_on_standard_output_holds_the_names_exactly(card: tuple[Tree, str], harness: Call) -> None:
    tree, path = card
    code, stdout, _ = harness("data", "import", path, "--root", str(tree.root), "--json")
    assert code == 0
    assert stdout.isascii()
    assert list(json.loads(stdout)["splits"]["test"]["classes"]) == ["Normal", CLASS, "Arrest"]
    code, stdout, _ = harness("list", "methods", "--json")
    assert {row["name"]: row["paper"] for row in json.loads(stdout)["methods"]}["trickster"] == EVERYTHING


def _check_report(report: Path) -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in report.glob("leaderboard.*")}
    assert set(texts) == {f"leaderboard.{name}" for name in ("md", "csv", "json", "tex")}
    rows = list(csv.reader(io.StringIO(texts["leaderboard.csv"]), strict=True))
    assert len({len(row) for row in rows}) == 1
    assert len(rows) == 3
    assert any(cell.startswith("'=fast") for row in rows for cell in row)
    assert not any(re.match(r"""[\s"]*[=+\-@|]""", cell) for row in rows for cell in row if not _number(cell))
    tokens = MarkdownIt("commonmark").enable("table").parse(texts["leaderboard.md"])
    inline = [part.type for token in tokens for part in token.children or []]
    assert set(inline) <= {"text", "text_special", "softbreak"}
    assert "html_block" not in {token.type for token in tokens}
    assert json.loads(texts["leaderboard.json"])["boards"]
    assert r"\input{" not in texts["leaderboard.tex"]
    for name, text in texts.items():
        assert not UNSHOWN.search(text), name
    pages = sorted(report.rglob("*.html"))
    assert len(pages) > 5
    for page in pages:
        _check_page(page)
    assert any("[red]red[/red]" in Page(page.read_text(encoding="utf-8")).text for page in pages)
    for part in report.glob("data/**/*.js"):
        text = part.read_text(encoding="utf-8")
        assert not UNSHOWN.search(text)
        json.loads(re.sub(r"^harness(Video|Videos|Run)\(", "", text).rstrip(";\n").removesuffix(")"))


def _check_page(path: Path, several: bool = False) -> None:
    text = path.read_text(encoding="utf-8")
    assert not UNSHOWN.search(text.replace("\u2212", "-")), path
    page = Page(text)
    assert not {"img", "b1", "link=http:"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert all("alert(1)" not in script for script in page.scripts if not script.startswith(("{", "[")))
    documents = [json.loads(script) for script in page.scripts if script.startswith(("{", "["))]
    assert all(documents)
    assert not several or documents


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
