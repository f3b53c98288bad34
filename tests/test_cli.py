"""Wrong input: one clear line, exit code 2, no traceback. And a command line that starts quickly."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).resolve().parents[1]

WRONG = {
    "unknown method": (["run", "--methods", "dsanett"], "unknown method 'dsanett'; did you mean dsanet"),
    "no method": (["run", "--methods", ","], "--methods is empty"),
    "unknown dataset": (["run", "--methods", "baseline", "--dataset", "ucf"], "ucf"),
    "unknown features": (["run", "--methods", "baseline", "--features", "i3d"], "no feature set 'i3d'"),
    "seeds": (["run", "--methods", "baseline", "--seeds", "0,x"], "--seeds '0,x': expected"),
    "seed twice": (["run", "--methods", "baseline", "--seeds", "1,1"], "distinct"),
    "selection": (["run", "--methods", "baseline", "--selection", "best"], "last, val, oracle or paper"),
    "device": (["run", "--methods", "baseline", "--device", "tpu"], "cpu or cuda"),
    "preset": (["run", "--methods", "baseline", "--preset", "slow"], "no preset 'slow'"),
    "override form": (["run", "--methods", "baseline", "--set", "epochs"], "METHOD.key=value"),
    "override key": (["run", "--methods", "baseline", "--set", "baseline.epoch=3"], "--set deepmil.epoch: "),
    "override value": (["run", "--methods", "baseline", "--set", "deepmil.epochs=many"], "--set deepmil.epochs: "),
    "override of another": (["run", "--methods", "baseline", "--set", "dsanet.epochs=1"], "not among the methods"),
    "not imported": (["run", "--methods", "baseline", "--dataset", "ucf-crime"], "harness data import ucf-crime"),
    "text tower": (["run", "--methods", "dsanet", "--text-tower", "./no/such/dir"], "no/such/dir"),
    "list": (["list", "models"], "methods, datasets or runs"),
    "empty store": (["report"], "harness run"),
    "format": (["report", "--formats", "pdf"], "pdf"),
    "parity case": (["parity", "nowhere"], "nowhere"),
    "check unknown": (["check-method", "dsanett"], "unknown method 'dsanett'; did you mean dsanet"),
    "check group": (["check-method", "mil"], "expected one method"),
    "check preset": (["check-method", "deepmil", "--preset", "slow"], "no preset 'slow'"),
    "check override": (["check-method", "deepmil", "--set", "deepmil.depth=3"], "--set deepmil.depth"),
    "check override of another": (["check-method", "deepmil", "--set", "dsanet.epochs=3"], "the method is deepmil"),
    "check text tower": (["check-method", "clip-zeroshot", "--text-tower", "./none"], "none"),
}


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.replace(" ", "-"))
def test_wrong_input_is_one_line_and_exit_code_2(case: str, harness: Call, tmp_path: Path) -> None:
    arguments, expected = WRONG[case]
    if arguments[0] in ("run", "report"):
        arguments = [*arguments, "--out", str(tmp_path / "runs")]
    code, stdout, stderr = harness(*arguments)
    assert code == 2, stderr
    assert stdout == ""
    assert expected in stderr
    assert "Traceback" not in stderr
    assert len(stderr.strip().splitlines()) == 1, stderr


@pytest.mark.usefixtures("demo")
def test_an_output_directory_that_cannot_be_written(harness: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    code, _, stderr = harness("run", "--methods", "linear-probe", "--out", str(tmp_path / "file" / "runs"))
    assert code == 2
    assert "cannot be written" in stderr
    assert len(stderr.strip().splitlines()) == 1


def test_unknown_option_is_exit_code_2(harness: Call) -> None:
    code, _, stderr = harness("run", "--method", "baseline")
    assert code == 2
    assert "--method" in stderr


def test_a_hub_id_without_network_fails_at_once(harness: Call, monkeypatch: pytest.MonkeyPatch, demo: object) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, _, stderr = harness("run", "--methods", "clip-zeroshot", "--text-tower", "nobody/no-such-clip")
    assert code == 2
    assert "nobody/no-such-clip" in stderr
    assert len(stderr.strip().splitlines()) == 1


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness", "list", "models", "--debug"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "Traceback" in done.stderr


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['harness', '--help']\n"
        "from harness.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'mlflow', 'datasets', 'transformers', 'pandas', 'sklearn', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)


def test_list_methods_json(harness: Call) -> None:
    import json

    code, stdout, _ = harness("list", "methods", "--json")
    names = [row["name"] for row in json.loads(stdout)["methods"]]
    assert code == 0
    assert {"dsanet", "deepmil", "linear-probe", "clip-zeroshot"} <= set(names)
