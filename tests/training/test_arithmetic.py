"""Precision and compilation: exact unless asked, undone afterwards, and said on the leaderboard."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.check.subject import Options, Subject
from harness.plugin import Batch
from harness.records.spec import Precision
from harness.registry import method_cards, method_class
from harness.training.arithmetic import arithmetic
from harness.training.sampling import Batches
from tests.tiny import Tiny, TinyConfig, split, task

Call = Callable[..., tuple[int, str, str]]
SHORT = ("--set", "deepmil.epochs=2", "--set", "deepmil.steps_per_epoch=4")


@pytest.fixture
def method() -> Tiny:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Tiny(TinyConfig(), task()).eval()


@pytest.fixture
def batch(method: Tiny) -> Batch:
    training = split([12, 9, 30, 8, 16, 10, 14, 11])
    batches = Batches(training, torch.arange(8).numpy(), method.sampling(), 0, "tiny-set")
    return next(iter(batches.epoch(0)))


def test_fp32_is_exact_and_switches_tf32_off_everywhere(method: Tiny, batch: Batch) -> None:
    plain = method.training_loss(batch)["bce"]
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    with arithmetic(method, "cpu"):
        assert [flag.allow_tf32 for flag in flags] == [False, False]
        assert torch.equal(method.training_loss(batch)["bce"], plain)
    assert [flag.allow_tf32 for flag in flags] == before


def test_tf32_allows_it_to_products_and_convolutions(method: Tiny) -> None:
    with arithmetic(method, "cuda", "tf32"):
        assert torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cudnn.allow_tf32


def test_bf16_rounds_losses_and_predictions_but_no_weights(method: Tiny, batch: Batch) -> None:
    exact = method.predict(batch.features, batch.lengths).scores
    with arithmetic(method, "cpu", "bf16"):
        rounded = method.predict(batch.features, batch.lengths).scores
        loss = torch.stack(list(method.training_loss(batch).values())).sum()
        loss.backward()
    assert 0 < (rounded.float() - exact).abs().max() < 2e-2
    assert {p.dtype for p in method.parameters()} == {p.grad.dtype for p in method.parameters()} == {torch.float32}
    assert torch.equal(method.predict(batch.features, batch.lengths).scores, exact), "undone afterwards"


def test_a_confident_mistake_keeps_its_loss_in_bf16(method: Tiny, batch: Batch) -> None:
    with torch.no_grad():
        method.score.weight.zero_()
        method.score.bias.fill_(8.0)  # rounded to bf16 its probability is 1, and the loss of a normal video 100
    exact = method.training_loss(batch)["bce"]
    with arithmetic(method, "cpu", "bf16"):
        loss = method.training_loss(batch)["bce"]
    torch.testing.assert_close(loss, exact)


def test_what_fails_inside_is_undone_too(method: Tiny) -> None:
    with pytest.raises(RuntimeError, match="inside"), arithmetic(method, "cpu", "bf16"):
        raise RuntimeError("inside")
    assert "training_loss" not in vars(method)
    assert "predict" not in vars(method)


@pytest.mark.parametrize("name", [n for n, card in method_cards().items() if card.training == "gradient"])
def test_every_method_learns_in_bf16_about_what_it_learns_in_fp32(name: str) -> None:
    subject = Subject(method_class(name), Options())
    losses = {}
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    for precision in precisions:
        method = subject.build()
        with arithmetic(method, "cpu", precision):
            losses[precision] = subject.learn(method, steps=1)[0]["loss"]
            method.eval()
            features = torch.randn(2, method.reading().window or 20, subject.widths[0])
            prediction = method.predict(features, torch.tensor([20, 9]))
        assert prediction.scores.isfinite().all()
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.1)


@pytest.mark.usefixtures("demo")
def test_a_run_in_bf16_is_another_row_that_says_so(harness: Call, tmp_path: Path) -> None:
    both = []
    for precision in ("fp32", "bf16"):
        arguments = ("--methods", "deepmil", *SHORT, "--precision", precision, "--out", str(tmp_path), "--json")
        code, stdout, stderr = harness("run", *arguments)
        assert code == 0, stderr
        document = json.loads(stdout)
        both.append(document["runs"][0])
    exact, rounded = both
    assert exact["id"] != rounded["id"]
    assert 0 < abs(exact["metrics"]["frame_auc"] - rounded["metrics"]["frame_auc"]) < 0.1
    (board,) = document["leaderboard"]
    titles = {row["arithmetic"]: row["title"] for row in board["rows"]}
    assert titles["bf16"] == titles["fp32"] + " in bf16"
    (page,) = (tmp_path / "report" / "boards").rglob("*.html")
    assert titles["bf16"] in page.read_text(encoding="utf-8")
    code, stdout, stderr = harness("eval", rounded["directory"], "--dataset", "demo", "--precision", "bf16", "--json")
    assert code == 0, stderr
    assert json.loads(stdout)["metrics"] == rounded["metrics"]


def test_compiled_training_gives_the_same_loss_within_rounding(
    method: Tiny, batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    plain = method.training_loss(batch)
    with arithmetic(method, "cpu", compiled=True):
        compiled = method.training_loss(batch)
    assert compiled.keys() == plain.keys()
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value)
    assert list((tmp_path / "compiled").iterdir()), "what was compiled is kept"
