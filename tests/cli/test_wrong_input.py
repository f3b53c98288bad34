"""Wrong input: one clear line, exit code 2, no traceback. And a command line that starts quickly."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from harness.plugin.card import card_in_source
from harness.registry import method_cards, method_class

Call = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).resolve().parents[2]

WRONG = {
    "unknown method": (["run", "--methods", "dsanett"], "unknown method 'dsanett'; did you mean dsanet"),
    "uninstalled method": (["run", "--methods", "quux"], "once its package is installed (`pip install -e DIR`)"),
    "no method": (["run", "--methods", ","], "--methods is empty"),
    "unknown dataset": (["run", "--methods", "baseline", "--dataset", "ucf"], "ucf"),
    "unknown features": (["run", "--methods", "baseline", "--features", "i3d"], "no feature set 'i3d'"),
    "seeds": (["run", "--methods", "baseline", "--seeds", "0,x"], "--seeds '0,x': expected"),
    "seed twice": (["run", "--methods", "baseline", "--seeds", "1,1"], "distinct"),
    "selection": (["run", "--methods", "baseline", "--selection", "best"], "last, val, oracle or paper"),
    "device": (["run", "--methods", "baseline", "--device", "tpu"], "cpu or cuda"),
    "preset": (["run", "--methods", "baseline", "--preset", "slow"], "no preset 'slow'"),
    "override form": (["run", "--methods", "baseline", "--set", "epochs"], "METHOD.key=value"),
    "override key": (
        ["run", "--methods", "baseline", "--set", "baseline.epoch=3"],
        "--set deepmil.epoch: not known, did you mean epochs? (settings of deepmil: ",
    ),
    "override value": (["run", "--methods", "baseline", "--set", "deepmil.epochs=many"], "--set deepmil.epochs: "),
    "override of another": (["run", "--methods", "baseline", "--set", "dsanet.epochs=1"], "not among the methods"),
    "not imported": (["run", "--methods", "baseline", "--dataset", "ucf-crime"], "harness data import ucf-crime"),
    "text tower": (["run", "--methods", "dsanet", "--text-tower", "./no/such/dir"], "no/such/dir"),
    "list": (["list", "models"], "methods, datasets, protocols or runs"),
    "empty store": (["report"], "harness run"),
    "format": (["report", "--formats", "pdf"], "pdf"),
    "parity case": (["parity", "nowhere"], "nowhere"),
    "precision": (["run", "--methods", "deepmil", "--precision", "fp8"], "--precision 'fp8'"),
    "tf32 on the cpu": (["run", "--methods", "deepmil", "--precision", "tf32"], "--device cuda"),
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


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        *((["--help"], 0), (["run", "--help"], 0), (["list", "methods"], 0), (["list", "datasets"], 0)),
        (["data", "import", "ucf-crime", "--root", "missing"], 2),  # seconds beside the import of a small set
    ],
)
def test_what_computes_nothing_imports_nothing_heavy(arguments: list[str], code: int) -> None:
    heavy = {"torch", "mlflow", "datasets", "transformers", "pandas", "sklearn"}
    heavy |= {"numpy"} if "--help" in arguments else set()
    script = (
        f"import sys; sys.argv = ['harness', *{arguments}]\n"
        "from harness.cli.app import main\n"
        f"try:\n    main()\nexcept SystemExit as done:\n    assert (done.code or 0) == {code}\n"
        f"heavy = {heavy} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_a_card_is_the_same_in_its_source_and_in_its_class() -> None:
    for name, card in method_cards().items():
        assert card == method_class(name).card


def test_a_card_that_is_not_plain_comes_from_the_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd_method.py").write_text("TITLE = 'x'\nclass Odd:\n    card = MethodCard(name=TITLE)\n")
    monkeypatch.syspath_prepend(tmp_path)
    for value in ("odd_method:Odd", "odd_method:Other", "no_such_module:Odd", "no.such.module:Odd"):
        assert card_in_source(EntryPoint("odd", value, "harness.methods")) is None


def test_list_methods_json(harness: Call) -> None:
    import json

    code, stdout, _ = harness("list", "methods", "--json")
    names = [row["name"] for row in json.loads(stdout)["methods"]]
    assert code == 0
    assert {"dsanet", "deepmil", "linear-probe", "clip-zeroshot"} <= set(names)
