"""`datasets/` and `reports/` are data only, so that `import datasets` is Hugging Face's everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WHERE = "import datasets; print(datasets.__file__, hasattr(datasets, 'load_from_disk'))"


@pytest.mark.parametrize("folder", ["datasets", "reports"])
def test_a_data_folder_holds_no_python(folder: str) -> None:
    if not (ROOT / folder).is_dir():
        pytest.skip("not a checkout")
    assert [path for path in (ROOT / folder).rglob("*.py*") if path.suffix in (".py", ".pyc", ".pyi")] == []


def test_every_file_of_datasets_is_a_card_or_text() -> None:
    assert {path.suffix for path in (ROOT / "datasets").iterdir()} <= {".yaml", ".md"}


@pytest.mark.parametrize("path", ["", str(ROOT)], ids=["no-pythonpath", "pythonpath-is-the-root"])
@pytest.mark.parametrize("options", [[], ["-P"]], ids=["plain", "safe-path"])
def test_datasets_is_hugging_faces_from_the_root(options: list[str], path: str) -> None:
    if options and sys.version_info < (3, 11):
        pytest.skip("python -P came with 3.11")
    _expect_hugging_face([*options, "-c", WHERE], path)


def test_datasets_is_hugging_faces_under_pytest(tmp_path: Path) -> None:
    test = tmp_path / "test_where.py"
    test.write_text(f"def test_where():\n    {WHERE}\n    import harness, methods\n")
    _expect_hugging_face(["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "--rootdir", str(ROOT), str(test)], "")


def _expect_hugging_face(arguments: list[str], path: str) -> None:
    environment = {**os.environ, "PYTHONPATH": path} if path else {**os.environ}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "__init__.py" in line]
    assert line.endswith(("True", "True."))
    assert str(ROOT / "datasets") not in line
