"""Plugins cannot break the house: a bad one is one line where methods are listed and where it is named."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from harness import registry
from harness.data.bank import Bank
from harness.errors import BrokenMethod, UserError
from harness.identity import code as code_identity
from harness.registry import broken_methods, method_cards, method_class, resolve

ROOT = Path(__file__).resolve().parents[2]
Call = Callable[..., tuple[int, str, str]]
Install = Callable[[dict[str, str], str], None]

HEAD = """
import torch
from harness.plugin import *
from harness.plugin.card import MethodCard
"""
CARD = 'card = MethodCard(name="{0}", title="Plain", family="mil", training="none")'
BODY = """
    def predict(self, features, lengths):
        return Prediction(torch.full(features.shape[:2], 0.5))
"""


def source(card: str = CARD.format("plain"), rest: str = "", head: str = HEAD) -> str:
    return f"{head}\nclass Plain(Method):\n    {card}\n{rest}{BODY}"


# What is wrong -> source and what the one line says.
BAD = {
    "no card": (source("pass"), "`card` must be a MethodCard, got None"),
    "card of another type": (source('card = {"name": "bad"}'), "`card` must be a MethodCard, got a dict of str"),
    "unknown family": (
        source('card = MethodCard(name="bad", title="Bad", family="attention")'),
        "MethodCard.family: Input should be 'mil', 'clip' or 'floor', got 'attention'",
    ),
    "unknown field": (
        source('card = MethodCard(name="bad", title="Bad", family="mil", venu="CVPR")'),
        "MethodCard.venu: not known, did you mean venue?)",
    ),
    "missing field": (source('card = MethodCard(name="bad", family="mil")'), "MethodCard.title: Field required"),
    "another name": (
        source(CARD.format("mine")),
        "its entry point and its card must give one name; got 'bad' and 'mine'",
    ),
    "inherited card": (
        "from harness.methods.random_scores import RandomScores\nclass Plain(RandomScores):\n    pass\n",
        "must give one name; got 'bad' and 'random'",
    ),
    "taken alias": (
        source(CARD.format("bad")[:-1] + ', aliases=("deepmil",))'),
        "its alias 'deepmil' is taken by deepmil",
    ),
    "alias of another": (
        source(CARD.format("bad")[:-1] + ', aliases=("baseline",))'),
        "its alias 'baseline' is taken by deepmil",
    ),
    "a group as alias": (source(CARD.format("bad")[:-1] + ', aliases=("all",))'), "its alias 'all' is taken by all"),
    "exception at import": (
        source(CARD.format("bad"), head=HEAD + "\n1 / 0"),
        "cannot be imported (ZeroDivisionError: division by zero)",
    ),
    "sound card and exception": (
        source(CARD.format("bad")) + "\nraise RuntimeError('no\\nlicence')",
        "cannot be imported (RuntimeError: no licence)",
    ),
    "patch at import": (
        source(CARD.format("bad"), head=HEAD + "\nimport numpy\nnumpy.mean = numpy.median"),
        "importing it must leave other modules alone; it changes numpy.mean",
    ),
    "exit at import": ("import sys\nsys.exit('no GPU')", "cannot be imported (SystemExit: no GPU)"),
    "missing import": ("import no_such_package", "cannot be imported (ModuleNotFoundError: No module named"),
    "syntax": ("def (", "cannot be imported (SyntaxError: "),
    "no such class": (HEAD, "cannot be imported (AttributeError: "),
    "a function": ("def Plain(): pass", "must be a subclass of harness.plugin.Method, got a function"),
    "Config of another type": (
        source(CARD.format("bad"), "    Config = dict\n"),
        "`Config` must be a subclass of MethodConfig, got the class dict",
    ),
    "presets as a list": (
        source(CARD.format("bad"), '    presets = ["fast"]\n'),
        "`presets` must map names to settings, got a list of str",
    ),
    "presets of numbers": (
        source(CARD.format("bad"), '    presets = {"fast": 3}\n'),
        "`presets` must map names to settings, got 3",
    ),
}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install methods as third parties' packages: sources by name, and further lines of entry points."""
    place = tmp_path / "plugins"
    before = set(sys.modules)

    def installed(sources: dict[str, str], lines: str = "") -> None:
        info = place / "plugins-1.dist-info"
        info.mkdir(parents=True)
        entries = ""
        for name, text in sources.items():
            module = f"third_party_{name.replace('-', '_')}"
            (place / f"{module}.py").write_text(text)
            entries += f"{name} = {module}:Plain\n"
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[harness.methods]\n{entries}{lines}\n")
        monkeypatch.setenv("PYTHONPATH", f"{place}{os.pathsep}{ROOT}")
        monkeypatch.syspath_prepend(str(place))
        forget()

    def forget() -> None:
        registry._entries.cache_clear()
        registry.method_class.cache_clear()
        code_identity._hash_of.cache_clear()

    yield installed
    for name in set(sys.modules) - before:
        if name.startswith("third_party_"):
            del sys.modules[name]
    forget()


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_plugin_is_one_line_and_the_others_work(fault: str, install: Install) -> None:
    text, line = BAD[fault]
    install({"bad": text, "plain": source()}, "")
    assert {"plain", "deepmil"} <= set(method_cards())
    broken = broken_methods(thoroughly=True)
    assert set(broken) == {"bad"}
    assert line in broken["bad"]
    assert broken["bad"].startswith("method bad")
    assert "\n" not in broken["bad"]
    chosen, _ = resolve("all")
    assert "plain" in chosen
    assert method_class("plain").card.name == "plain"
    with pytest.raises(UserError) as caught:
        method_class(next(iter(resolve("bad")[0])))
    assert str(caught.value) == broken["bad"]


def test_entry_points_that_cannot_be_taken(install: Install) -> None:
    install({"plain": source()}, "a.b = third_party_plain:Plain\nnone =\ndeepmil = third_party_plain:Plain\n")
    broken = broken_methods()
    assert set(broken) == {"a.b", "none", "deepmil (third_party_plain:Plain)"}
    assert "its name must be letters, digits, - and _" in broken["a.b"]
    assert broken["none"] == "plugin none: its entry point must be MODULE:CLASS, got ''"
    assert "the name is taken by harness.methods.deepmil:DeepMIL" in broken["deepmil (third_party_plain:Plain)"]
    assert method_class("deepmil").__module__ == "harness.methods.deepmil"
    assert "plain" in method_cards()


def test_the_name_of_the_card_alone_is_unknown(install: Install) -> None:
    install({"attn-mil": source(CARD.format("mine"))})
    with pytest.raises(UserError, match=r"unknown method 'mine'.*\. 1 installed cannot be used, see `harness list"):
        resolve("mine")
    with pytest.raises(BrokenMethod, match="got 'attn-mil' and 'mine'"):
        resolve("attn-mil,random")


def test_the_commands(install: Install, harness: Call, demo: Bank, tmp_path: Path) -> None:
    crash = "\n    @classmethod\n    def check(cls, task):\n        return task.nothing\n"
    install(
        {
            "bad": source("pass"),
            "late": source(CARD.format("late")) + "\nprint('hello')\nraise RuntimeError('late')",
            "crash": source(CARD.format("crash").replace('"mil"', '"floor"'), crash),
            "plain": source(CARD.format("plain").replace('"Plain"', '"[/red] plain"')),
        }
    )
    code, stdout, stderr = harness("list", "methods", "--json")
    document = json.loads(stdout)
    assert code == 0
    assert [line.split(" ")[:2] for line in document["broken"]] == [["method", "bad"], ["method", "late:"]]
    assert {"plain", "crash"} <= {row["name"] for row in document["methods"]}
    assert not {"bad", "late"} & {row["name"] for row in document["methods"]}
    code, stdout, _ = harness("list", "methods")
    lines = [line for line in stdout.splitlines() if line.startswith("cannot be used: ")]
    assert [line.split()[4].strip(":") for line in lines] == ["bad", "late"]

    out = str(tmp_path / "runs")
    for name, reason in (("bad", "`card` must be"), ("late", "RuntimeError: late"), ("crash", "its code failed (Attr")):
        for arguments in (("run", "--methods", name, "--out", out), ("check-method", name)):
            code, stdout, stderr = harness(*arguments)
            assert (code, stdout) == (2, ""), stderr
            assert reason in stderr
            assert len(stderr.strip().splitlines()) == 1 + ("hello" in stderr), stderr
    code, stdout, stderr = harness("run", "--methods", "all", "--preset", "fast", "--out", out, "--dry-run", "--json")
    assert code == 0, stderr
    assert {"plain", "random", "clip-zeroshot", "dsanet"} <= {row["method"] for row in json.loads(stdout)["runs"]}
    code, stdout, stderr = harness("run", "--methods", "floor,plain", "--preset", "fast", "--out", out, "--json")
    assert code == 0, stderr
    assert (
        "left out: method crash: its code failed (AttributeError: 'Task' object has no attribute 'nothing')" in stderr
    )
    assert {run["method"] for run in json.loads(stdout)["runs"]} >= {"plain", "random"}
    code, stdout, _ = harness("run", "--methods", "all", "--out", out, "--dry-run")
    assert code == 0
    assert sum(line.startswith("left out: method") for line in stdout.splitlines()) == 3


TRAINED = """
    def __init__(self, config, task):
        super().__init__(config, task)
        self.layer = torch.nn.Linear(task.dim, 1)
    def sampling(self):
        return Sampling("pairs", 4, 8, 1)
    def schedules(self, plan):
        return {schedules}
    def training_loss(self, batch):
        return {loss}
    @classmethod
    def official_sizes(cls, state):
        return {sizes}
"""
GOOD = {
    "schedules": "[Schedule(torch.optim.Adam(self.parameters()))]",
    "loss": '{"mil": self.layer(batch.features).square().mean()}',
    "sizes": "512, {}",
}


def trained(name: str, rest: str = "", **parts: str) -> str:
    card = f'card = MethodCard(name="{name}", title="Trained", family="floor")'
    return source(card, rest + TRAINED.format(**{**GOOD, **parts}))


def test_a_run_says_who_must_give_what_and_what_it_got(
    install: Install, harness: Call, demo: Bank, tmp_path: Path
) -> None:
    sources = {
        "good": trained("good"),
        "loss": trained("loss", loss="self.layer(batch.features).mean()"),
        "adam": trained("adam", schedules="torch.optim.Adam(self.parameters())"),
        "typo": trained("typo", '    presets = {"fast": {"epoch": 3}}\n'),
    }
    install(sources)
    lines = {
        "loss": "loss: training_loss must give a dict of 0-d tensors by name, one or more; got a tensor of shape []",
        "adam": "adam: schedules must give a list of Schedule, one or more; got an Adam",
        "typo": "method typo: its defaults, presets and ablations must fit its settings (average_last, warmup_steps); "
        "got epoch: ",
    }
    out = ("--out", str(tmp_path / "runs"))
    code, stdout, stderr = harness("run", "--methods", "good,loss,adam", *out, "--json")
    assert code == 1
    assert {run["method"]: run["status"] for run in json.loads(stdout)["runs"]} == {
        "good": "ok",
        "loss": "failed",
        "adam": "failed",
    }
    failed = [line for line in stderr.splitlines() if line.startswith("failed: ")]
    assert failed == [f"failed: {name} seed 0: {lines[name]}" for name in ("loss", "adam")]
    code, stdout, _ = harness("check-method", "loss")
    assert code == 1
    assert stdout.splitlines()[0] == f"failed   types         {lines['loss']}"
    assert {line.split()[0] for line in stdout.splitlines()[1:]} == {"skipped"}
    for verb in (("run", "--methods", "typo", "--preset", "fast", *out), ("check-method", "typo")):
        code, _, stderr = harness(*verb)
        assert code == 2
        assert stderr.startswith(f"error: {lines['typo']}")
    code, _, stderr = harness("run", "--methods", "floor", "--preset", "fast", *out, "--dry-run")
    assert code == 0, stderr


@pytest.mark.parametrize(
    ("sizes", "line"),
    [
        ("512", "official_sizes must give the width and a dict of settings; got 512"),
        ("state.nothing", "its code failed (AttributeError: 'dict' object has no attribute 'nothing')"),
    ],
)
def test_official_weights_of_a_bad_plugin(
    sizes: str, line: str, install: Install, harness: Call, tmp_path: Path
) -> None:
    install({"weights": trained("weights", sizes=sizes)})
    torch.save({"layer.weight": torch.zeros(1, 512)}, tmp_path / "official.pth")
    arguments = (
        "convert",
        str(tmp_path / "official.pth"),
        "--method",
        "weights",
        "--out",
        str(tmp_path / "o.safetensors"),
    )
    code, _, stderr = harness(*arguments)
    assert code == 2
    assert line in stderr
    assert len(stderr.strip().splitlines()) == 1
