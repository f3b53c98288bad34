"""`harness new-method`: the example is what it writes, and `test_plugin` shows that the example passes the check."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.new_method.package import package_files

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "harness-topk-mil"
Harness = Callable[..., tuple[int, str, str]]


def test_the_example_is_what_it_writes(harness: Harness, tmp_path: Path) -> None:
    code, stdout, _ = harness("new-method", "topk-mil2", "--title", "Top-k MIL", "--to", str(tmp_path))
    assert code == 0
    directory = tmp_path / "harness-topk-mil2"
    assert f"pip install -e {directory} && harness check-method topk-mil2" in stdout.replace("\n", " ")
    written = {path.name: path.read_text() for path in directory.iterdir()}
    expected = {path.name: path.read_text() for path in EXAMPLE.iterdir() if path.is_file()}
    swapped = (("harness_topk_mil", "harness_topk_mil2"), ("topk-mil", "topk-mil2"))

    def renamed(text: str) -> str:
        for old, new in swapped:
            text = text.replace(old, new)
        return text

    assert written == {renamed(path): renamed(text) for path, text in expected.items()}


@pytest.mark.parametrize(
    ("name", "title", "class_name"),
    [
        *(("3d-Net", "3d net", "Method3dNet"), ("A_b", "A b", "AB"), ("x", "方法", "X"), ("torch", "Torch", "Torch")),
        *(("none", "None", "MethodNone"), ("method", "Method", "MethodMethod"), ("f", "F", "MethodF")),
        ("schedule", "Schedule", "MethodSchedule"),
    ],
)
def test_any_name_gives_a_package_that_parses(name: str, title: str, class_name: str) -> None:
    files = package_files(name, title)
    tomllib = pytest.importorskip("tomllib", reason="came with 3.11")
    entry = tomllib.loads(files["pyproject.toml"])["project"]["entry-points"]["harness.methods"]
    module = "harness_" + name.lower().replace("-", "_")
    assert entry == {name: f"{module}:{class_name}"}
    classes = [each.name for each in ast.parse(files[f"{module}.py"]).body if isinstance(each, ast.ClassDef)]
    assert classes == [f"{class_name}Config", class_name]
    module_code = compile(files[f"{module}.py"], module, "exec")
    names: dict[str, object] = {"__name__": module}
    exec(module_code, names)
    assert names[class_name].card.title == title
    assert not [path for path, text in files.items() if "$" in path + text]


@pytest.mark.parametrize("title", ['say "x"', "a\nb", " ", "a\\", "\x1b[1m"])
def test_titles_that_cannot_be(harness: Harness, tmp_path: Path, title: str) -> None:
    code, _, stderr = harness("new-method", "mine", "--title", title, "--to", str(tmp_path))
    assert code == 2
    assert "expected words in one line" in stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("deepmil", "there is a method, an alias or a group of this name"),
        ("baseline", "there is a method, an alias or a group of this name"),
        ("clip", "there is a method, an alias or a group of this name"),
        ("a b", "the name of a method must be"),
        ("../x", "the name of a method must be"),
        ("there", "is there already"),
    ],
)
def test_names_that_cannot_be(harness: Harness, tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "harness-there").mkdir()
    code, _, stderr = harness("new-method", name, "--to", str(tmp_path))
    assert code == 2
    assert words in stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["harness-there"]
