"""A third party's helpers are part of the identity of its runs, however they are imported and installed."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

from harness import registry
from harness.data.bank import Bank
from harness.errors import UserError
from harness.identity import code as code_identity
from harness.identity.code import code_hash, computing_files, method_hash
from harness.registry import method_class
from harness.runs import method_side as execute
from tests.identity.test_code import with_a_number_changed, with_words_changed

Call = Callable[..., tuple[int, str, str]]

MINE = '''"""A method whose score takes a number from everywhere."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import lab.constants as constants
import thirdparty
from harness.plugin import MethodCard, Prediction
from lab import tables
from peer.base import Base

from . import helper
from ..common import shift
from .facts import slope
from .sub.deep import depth

if TYPE_CHECKING:
    from .hints import Hint

WORDS = json.loads(Path(__file__).with_name("words.json").read_text())


class Mine(Base):
    """A sum."""

    card = MethodCard(name="mine", title="Mine", family="floor", training="none", bounded=False)

    def predict(self, features, lengths) -> Prediction:
        """Return the mean feature times the sum of all numbers."""
        from .lazy import late

        named = importlib.import_module(".named", __package__).NUMBER
        parts = [constants.NUMBER, tables.NUMBER, helper.number(), shift, slope, depth, late, named, *WORDS]
        return Prediction(features.mean(dim=2) * self.factor() + features[:, :, 0] * sum(parts))
'''
BASE = '''"""A base class in another distribution, which registers a method as well."""

from harness.plugin import Method, MethodCard, Prediction

from .numbers import NUMBER


class Base(Method):
    """A factor."""

    card = MethodCard(name="peer", title="Peer", family="floor", training="none", bounded=False)

    def factor(self) -> float:
        """Return it."""
        return NUMBER

    def predict(self, features, lengths) -> Prediction:
        """Return the mean feature."""
        return Prediction(features.mean(dim=2) * self.factor())
'''
COUNTING = {
    "lab/__init__.py": '"""A laboratory."""\nNUMBER = 1\n',
    "lab/common.py": '"""Shared."""\nshift = 2\n',
    "lab/constants.py": '"""Constants."""\nNUMBER = 3\n',
    "lab/tables.py": '"""Tables."""\nNUMBER = 4\n',
    "lab/methods/__init__.py": '"""Methods."""\n',
    "lab/methods/mine.py": MINE,
    "lab/methods/helper.py": '"""Helps."""\n\n\ndef number():\n    from .inner import NUMBER\n\n    return NUMBER\n',
    "lab/methods/inner.py": '"""Of the helper."""\nNUMBER = 5\n',
    "lab/methods/facts.py": '"""Facts."""\nslope = 6\n',
    "lab/methods/sub/deep.py": '"""In a namespace."""\ndepth = 7\n',
    "lab/methods/lazy.py": '"""Imported late."""\nlate = 8\n',
    "lab/methods/named.py": '"""Imported by name."""\nNUMBER = 9\n',
    "peer/__init__.py": '"""A peer."""\n',
    "peer/base.py": BASE,
    "peer/numbers.py": '"""Numbers."""\nNUMBER = 10\n',
}
APART = {
    "lab/methods/hints.py": '"""For type checkers."""\nHint = 1\n',
    "lab/command.py": '"""Nobody imports it."""\nNUMBER = 1\n',
    "lab/methods/unnamed.json": "[1]",
    "thirdparty/__init__.py": '"""A library."""\nNUMBER = 1\n',
}
WORDS = "lab/methods/words.json"


class Plugin:
    """The files of the plugin, of the peer whose class it extends, and of a library; and where each lies."""

    def __init__(self, place: Path, installed: bool) -> None:
        # A wheel is installed into a directory of that name and says what it put there; a folder does not.
        self.site = place / ("site-packages" if installed else "src")
        self.library = place / "lib" / "site-packages"
        for name, text in {**COUNTING, **APART, WORDS: "[11]\n"}.items():
            self.write(name, text)
        for name, entry in {"lab": "mine = lab.methods.mine:Mine", "peer": "peer = peer.base:Base"}.items():
            info = self.site / f"{name}-1.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
            (info / "entry_points.txt").write_text(f"[harness.methods]\n{entry}\n")
            if installed:
                files = [f"{path.relative_to(self.site)},," for path in (self.site / name).rglob("*.py")]
                (info / "RECORD").write_text("\n".join([*files, f"{info.name}/METADATA,,"]))

    def file(self, name: str) -> Path:
        return (self.library if name.startswith("thirdparty") else self.site) / name

    def write(self, name: str, text: str) -> None:
        self.file(name).parent.mkdir(parents=True, exist_ok=True)
        self.file(name).write_text(text)

    def forget(self) -> None:
        """Let the next use import everything again, as a new process would."""
        for module in [name for name in sys.modules if name.partition(".")[0] in ("lab", "peer", "thirdparty")]:
            del sys.modules[module]
        registry._entries.cache_clear()
        registry.method_class.cache_clear()
        code_identity._hash_of.cache_clear()
        importlib.invalidate_caches()


@pytest.fixture(params=[True, False], ids=["installed", "folder"])
def plugin(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    """The plugin on the path of this process."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = Plugin(tmp_path, request.param)
    monkeypatch.syspath_prepend(str(made.library))
    monkeypatch.syspath_prepend(str(made.site))
    made.forget()
    yield made
    made.forget()


def hashes(plugin: Plugin) -> tuple[str, str]:
    plugin.forget()
    cls = method_class("mine")
    return code_hash(cls), method_hash(cls)


def test_every_number_that_it_computes_with_counts(plugin: Plugin) -> None:
    before = hashes(plugin)
    for name, text in COUNTING.items():
        plugin.write(name, with_words_changed(text))
        assert hashes(plugin) == before, f"{name}: words"
        plugin.write(name, with_a_number_changed(text, -1))
        changed = hashes(plugin)
        assert changed[0] != before[0], f"{name}: a number"
        assert changed[1] != before[1], f"{name}: a number, for the badge"
        plugin.write(name, text)
    plugin.write(WORDS, "[12]\n")
    assert hashes(plugin)[0] != before[0], "a data file that the code names"
    plugin.write(WORDS, "[11]\n")
    assert hashes(plugin) == before


def test_what_it_does_not_compute_with_does_not(plugin: Plugin) -> None:
    before = hashes(plugin)
    for name in APART:
        plugin.write(name, "NUMBER = Hint = 2\n")
    assert hashes(plugin) == before


def test_nothing_is_imported_to_find_it(plugin: Plugin) -> None:
    cls = method_class("mine")
    assert "lab.methods.lazy" in computing_files(cls)
    assert "lab.methods.lazy" not in sys.modules


def test_a_module_imported_by_a_computed_name_makes_its_whole_package_count(plugin: Plugin) -> None:
    plugin.write("lab/methods/mine.py", MINE.replace('import_module(".named"', 'import_module("." + "named"'))
    before = hashes(plugin)
    plugin.write("lab/command.py", "NUMBER = 2\n")
    assert hashes(plugin) != before


def test_a_method_loaded_by_its_registered_name_counts(plugin: Plugin) -> None:
    """As a method does that asks another one."""
    text = MINE.replace("from peer.base import Base", "from harness.registry import method_class\n")
    plugin.write("lab/methods/mine.py", text.replace("class Mine(Base)", 'class Mine(method_class("peer"))'))
    plugin.forget()
    assert {"peer.base", "peer.numbers"} <= set(computing_files(method_class("mine")))
    source = MINE.replace("def predict", 'def inner(self):\n        return method_class("deepmil")\n\n    def predict')
    plugin.write(
        "lab/methods/mine.py", source.replace("import thirdparty", "from harness.registry import method_class")
    )
    plugin.forget()
    assert {"harness.methods.deepmil", "harness.methods.layers.time"} <= set(computing_files(method_class("mine")))


def test_a_package_that_lies_elsewhere_counts(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    """An editable install may take a package from outside the directory of the one above, as ours takes methods."""
    before = hashes(plugin)
    elsewhere = plugin.site.parent / "elsewhere"
    (plugin.site / "lab/methods").rename(elsewhere)

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            if name != "lab.methods":
                return None
            places = [str(elsewhere)]
            return spec_from_file_location(name, elsewhere / "__init__.py", submodule_search_locations=places)

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert hashes(plugin) == before
    assert computing_files(method_class("mine"))["lab.methods.inner"] == elsewhere / "inner.py"


def test_a_module_beside_a_module_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "alone_method.py").write_text(
        "from harness.plugin import Method\nfrom alone_helper import x\n\n\nclass Alone(Method):\n    pass\n"
    )
    (tmp_path / "alone_helper.py").write_text("x = 1\n")
    (tmp_path / "alone_other.py").write_text("x = 1\n")
    cls = importlib.import_module("alone_method").Alone
    monkeypatch.setattr(cls, "card", method_class("random").card, raising=False)
    assert {name for name in computing_files(cls) if name.startswith("alone")} == {"alone_method", "alone_helper"}


def test_a_class_without_source_is_refused() -> None:
    base = method_class("random")
    made = type("Made", (base,), {"__module__": "nowhere"})
    with pytest.raises(UserError, match="method random: the source of its module nowhere is not found"):
        code_hash(made)


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize("plugin", [True], indirect=True)
def test_a_changed_helper_is_computed_again(plugin: Plugin, harness: Call, tmp_path: Path) -> None:
    def run() -> dict:
        plugin.forget()
        code, stdout, stderr = harness("run", "--methods", "mine", "--out", str(tmp_path / "runs"), "--json")
        assert code == 0, stderr
        (result,) = json.loads(stdout)["runs"]
        return result

    first = run()
    plugin.write("lab/methods/inner.py", with_words_changed(COUNTING["lab/methods/inner.py"]))
    again = run()
    assert (first["status"], again["status"]) == ("ok", "skipped")
    assert again["id"] == first["id"]
    plugin.write("lab/methods/inner.py", '"""Of the helper."""\nNUMBER = -50\n')
    other = run()
    assert other["status"] == "ok"
    assert other["id"] != first["id"]
    assert other["metrics"]["frame_auc"] != first["metrics"]["frame_auc"]


def test_runs_of_before_still_open_and_are_not_reused(
    demo: Bank, harness: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code of a run recorded before identities followed imports is another one, in the same form."""
    arguments = ("run", "--methods", "linear-probe", "--out", str(tmp_path), "--json")
    with monkeypatch.context() as before:
        before.setattr(execute, "code_hash", lambda method: "0" * 64)
        code, stdout, stderr = harness(*arguments)
        assert code == 0, stderr
    (old,) = json.loads(stdout)["runs"]
    code, stdout, stderr = harness("list", "runs", "--out", str(tmp_path), "--json")
    assert (code, [run["id"] for run in json.loads(stdout)["runs"]]) == (0, [old["id"]]), stderr
    code, _, stderr = harness("report", "--out", str(tmp_path))
    assert code == 0, stderr
    (new,) = json.loads(harness(*arguments)[1])["runs"]
    assert (old["status"], new["status"]) == ("ok", "ok")
    assert new["id"] != old["id"]
    assert new["metrics"] == old["metrics"]
    code, stdout, _ = harness("list", "runs", "--out", str(tmp_path), "--json")
    assert {run["id"] for run in json.loads(stdout)["runs"]} == {old["id"], new["id"]}
