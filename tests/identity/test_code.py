"""Which lines are part of a run's identity: every one that computes, and no other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from harness.identity import code as code_identity
from harness.identity.code import code_hash, computing_files, method_files, method_hash
from harness.registry import method_class, method_names

ROOT = Path(__file__).resolve().parents[2]
HARNESS = {
    *("data", "data.bank", "data.card", "data.card_parts", "data.shares"),
    *("plugin.card", "plugin.config", "plugin.contract", "plugin.method", "plugin.tf32", "runs", "runs.computation"),
    *("text", "text.embedded", "text.loading", "text.tower"),
    *(
        "records",
        "records.alignment",
        "records.label_access",
        "records.disturbance",
        "records.predictions",
        "records.track",
        "records.truth",
    ),
    *("training", "training.arithmetic", "training.averaging", "training.fitting", "training.loop", "training.predict"),
    *("training.resume", "training.sampling", "training.seeds", "training.selection", "training.steps"),
    *("training.validation", "training.disturbances", "training.watch"),
    *("metrics.alarms", "metrics.frame", "metrics.protocol", "metrics.segments", "io.mapped", "io.scratch_rows"),
}
METHODS = {
    *("avadclip", "avadclip_student", "cross_block", "macilsd", "stream_contrast", "class_descriptions"),
    *("__init__", "anomalyclip", "bnwvad", "clip_zeroshot", "cliptsa", "deepmil", "desc", "dsanet", "feature_norm"),
    *("glancevad", "hlnet", "linear_probe", "mgfn", "pel4vad", "plovad", "random_scores", "rtfm", "stable_adamw"),
    *("urdmu", "vadclip", "layers.__init__", "layers.axial", "layers.clip", "layers.convolution", "layers.dropout"),
    *("layers.dual_attention", "layers.graphs", "layers.magnitude", "layers.multiscale", "layers.norm"),
    *("layers.prompts", "layers.prototypes", "layers.time"),
}
COUNTING = [
    *(f"harness.{name}" for name in sorted(HARNESS)),
    *(f"harness.methods.{name}".removesuffix(".__init__") for name in sorted(METHODS)),
]


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    code_identity._hash_of.cache_clear()


def with_a_number_changed(source: str, which: int) -> str:
    """The source with its first (0) or last (-1) number changed; one is added where there is none."""
    tree = ast.parse(source)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    numbers = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and type(node.value) in (int, float) and id(node) not in inside
    ]
    if not numbers:
        return source + "\nNUMBER = 1\n"
    chosen = sorted(numbers, key=lambda node: (node.lineno, node.col_offset))[which]
    lines = source.splitlines(keepends=True)
    line = lines[chosen.lineno - 1].encode()
    end = chosen.end_col_offset
    assert end is not None
    lines[chosen.lineno - 1] = (line[: chosen.col_offset] + repr(chosen.value + 1).encode() + line[end:]).decode()
    return "".join(lines)


def with_words_changed(source: str) -> str:
    """The source with other docstrings, comments, blank lines and line breaks."""
    assert source.startswith('"""'), "every file begins with a docstring"
    # A bare string below a class or a value is documentation as well.
    return '"""Mended. ' + source[3:].replace("\n\n\n", "\n\n\n\n# A remark.\n\n") + '\n\n"""No more."""\n# The end.\n'


def read_as(monkeypatch: pytest.MonkeyPatch, file: Path, text: str) -> None:
    """Let the identity see `text` in place of a file's content."""
    monkeypatch.setattr(code_identity, "read", lambda path: text.encode() if path == file else path.read_bytes())
    code_identity._hash_of.cache_clear()


def counting(name: str) -> tuple[str, Path]:
    """A method for which a module counts, and the module's file."""
    for method in method_names():
        files = computing_files(method_class(method))
        if name in files:
            return method, files[name]
    raise AssertionError(f"{name} counts for no method")


def test_what_counts_is_this_and_nothing_else() -> None:
    ours = {name: path for method in method_names() for name, path in computing_files(method_class(method)).items()}
    assert sorted(ours) == sorted(COUNTING)
    assert {path.suffix for path in ours.values()} == {".py"}
    there = {*ROOT.glob("methods/*.py"), *ROOT.glob("methods/layers/*.py")}
    found = {path for name, path in ours.items() if name.startswith("harness.methods")}
    assert there == found, "each is of some method"


@pytest.mark.parametrize("name", COUNTING)
def test_a_number_changes_the_identity_and_words_do_not(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, file = counting(name)
    before, source = code_hash(method_class(method)), file.read_text(encoding="utf-8")
    for which in (0, -1):
        changed = with_a_number_changed(source, which)
        assert changed != source
        read_as(monkeypatch, file, changed)
        assert code_hash(method_class(method)) != before
    read_as(monkeypatch, file, with_words_changed(source))
    assert code_hash(method_class(method)) == before


def test_methods_share_what_the_harness_computes_and_nothing_of_each_other() -> None:
    deepmil, random = (computing_files(method_class(name)) for name in ("deepmil", "random"))
    assert {name for name in random if not name.startswith("harness.methods")} == {
        f"harness.{n}" for n in HARNESS - {"text", "text.embedded", "text.loading", "text.tower"}
    }
    ours = {name for name in random if name.startswith("harness.methods")}
    assert ours == {"harness.methods", "harness.methods.random_scores"}
    assert set(deepmil) - set(random) == {
        f"harness.methods.{name}" for name in ("deepmil", "layers", "layers.dropout", "layers.time")
    }
    assert len({code_hash(method_class(name)) for name in method_names()}) == len(method_names())


def test_a_badge_is_of_the_methods_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    cls = method_class("dsanet")
    files, before = method_files(cls), method_hash(cls)
    assert {"harness.text.embedded", "harness.text.tower"} < set(files)
    assert "harness.text.tower" not in method_files(method_class("deepmil"))
    apart = ("harness.data", "harness.training.loop", "harness.methods.parity")
    assert not any(name.startswith(apart) for name in files)
    for name in ("harness.methods.layers.prototypes", "harness.text.tower", "harness.plugin.method"):
        source = files[name].read_text(encoding="utf-8")
        read_as(monkeypatch, files[name], with_words_changed(source))
        assert method_hash(cls) == before
        read_as(monkeypatch, files[name], with_a_number_changed(source, -1) + "NUMBER = 1\n")
        assert method_hash(cls) != before
