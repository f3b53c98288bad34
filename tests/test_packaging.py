"""`datasets/` and `reports/` are data only, so that `import datasets` is Hugging Face's everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.identity.syntax import syntax_of

ROOT = Path(__file__).resolve().parents[1]
WHERE = "import datasets; print(datasets.__file__, hasattr(datasets, 'load_from_disk'))"


@pytest.mark.parametrize("folder", ["datasets", "reports"])
def test_a_data_folder_holds_no_python(folder: str) -> None:
    if not (ROOT / folder).is_dir():
        pytest.skip("not a checkout")
    assert [path for path in (ROOT / folder).rglob("*.py*") if path.suffix in (".py", ".pyc", ".pyi")] == []


def test_ci_runs_the_test_command_of_the_readme() -> None:
    command = (ROOT / ".ci" / "run").read_text().strip().splitlines()[-1]
    assert command.endswith("tox")
    assert f"```sh\n{command}\n```" in (ROOT / "README.md").read_text()


def test_every_file_of_datasets_is_a_card_or_text() -> None:
    files = [path for path in (ROOT / "datasets").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".yaml", ".md"}


@pytest.mark.parametrize("path", ["", str(ROOT)], ids=["no-pythonpath", "pythonpath-is-the-root"])
@pytest.mark.parametrize("options", [[], ["-P"]], ids=["plain", "safe-path"])
def test_datasets_is_hugging_faces_from_the_root(options: list[str], path: str) -> None:
    if options and sys.version_info < (3, 11):
        pytest.skip("python -P came with 3.11")
    _expect_hugging_face([*options, "-c", WHERE], path)


def test_datasets_is_hugging_faces_under_pytest(tmp_path: Path) -> None:
    test = tmp_path / "test_where.py"
    test.write_text(f"def test_where():\n    {WHERE}\n    import harness.methods\n")
    _expect_hugging_face(["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "--rootdir", str(ROOT), str(test)], "")


def _expect_hugging_face(arguments: list[str], path: str, cwd: Path = ROOT) -> None:
    environment = {**os.environ, "PYTHONPATH": path} if path else {**os.environ}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=cwd, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "__init__.py" in line]
    assert line.endswith(("True", "True."))
    assert str(ROOT / "datasets") not in line


@pytest.mark.parametrize("arguments", [["-c", WHERE], ["-m", "where"]], ids=["command", "module"])
def test_datasets_is_hugging_faces_from_another_directory(tmp_path: Path, arguments: list[str]) -> None:
    """The editable install must not put the folder `datasets/` of the checkout in the way."""
    (tmp_path / "where.py").write_text(f"import harness.methods\n{WHERE}\n")
    _expect_hugging_face(arguments, "", tmp_path)


def test_methods_are_part_of_harness_which_knows_none_by_name() -> None:
    """From the root `methods` could be imported a second time, as other modules; import-linter sees it alone."""
    for folder in ("harness", "methods", "tests", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            for each in syntax_of(path.read_bytes()).imports:
                names = {each.module, *(f"{each.module}.{name}" for name in each.names)} if not each.level else set()
                tops = {".".join(name.split(".")[:2]) for name in names} | {name.split(".")[0] for name in names}
                assert "methods" not in tops, path
                assert folder != "harness" or (not each.level and "harness.methods" not in tops), path


def test_every_package_and_data_file_is_declared() -> None:
    tomllib = pytest.importorskip("tomllib", reason="came with 3.11")
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {package.replace(".", "/"): package for package in tool["packages"]}
    folders |= {folder: package for package, folder in tool["package-dir"].items()}
    modules = [path for folder in ("harness", "methods") for path in (ROOT / folder).rglob("*.py")]
    assert {path.relative_to(ROOT).parent.as_posix() for path in modules} <= set(folders)
    for package in ("harness.cards", "harness.assets"):
        folder = tool["package-dir"][package]
        declared = {path for pattern in tool["package-data"][package] for path in (ROOT / folder).glob(pattern)}
        files = {path for path in (ROOT / folder).rglob("*") if path.is_file() and path.name != "README.md"}
        # The sample report is for readers of the repository.
        files = {path for path in files if "sample" not in path.parts}
        assert files <= declared
