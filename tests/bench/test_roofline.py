"""Work that is known by hand, and what a machine could make of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from harness.bench import roofline
from harness.bench.roofline import Machine, Work, counted, measured_machine, pass_work, step_work
from harness.plugin import Batch, Method, MethodCard, MethodConfig, Schedule
from tests.tiny import task

ROWS, IN, OUT = 6, 6, 5


class Layer(Method):
    """A linear layer whose outputs are summed up."""

    card = MethodCard(name="layer", title="Layer", family="mil", input_scale="any")

    def __init__(self) -> None:
        super().__init__(MethodConfig(), task(IN))
        self.layer = nn.Linear(IN, OUT, bias=False)

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"sum": self.layer(batch.features.flatten(0, 1)).sum()}


def _batch(learns: bool = False) -> Batch:
    return Batch(torch.randn(2, ROWS // 2, IN, requires_grad=learns), torch.tensor([3, 3]), torch.eye(2))


def test_a_linear_layer_takes_two_operations_a_weight_and_row() -> None:
    method, x = Layer(), torch.randn(ROWS, IN)
    with torch.inference_mode():
        work = pass_work(method, lambda: method.layer(x), x)
    assert work.flops == 2 * ROWS * IN * OUT
    # Input and weights are read, the output is written and read.
    assert work.bytes == 4 * (ROWS * IN + IN * OUT + 2 * ROWS * OUT)


def test_a_training_step_takes_three_times_as_many_where_the_input_has_a_gradient_and_twice_where_not() -> None:
    for learns, times in ((True, 3), (False, 2)):
        method = Layer()
        schedule = Schedule(torch.optim.Adam(method.parameters(), fused=True))
        work = step_work(method, [schedule], _batch(learns))
        assert work.flops == times * 2 * ROWS * IN * OUT
        # Weights: forward, backward, read and written by the optimizer, as its two averages and its counter are.
        still = 4 * (4 * IN * OUT + 2 * (2 * IN * OUT + 1) + ROWS * IN)
        assert work.bytes > still + 4 * 2 * (ROWS * OUT + IN * OUT), "output and gradient are written and read"
    assert (method.layer.weight.grad != 0).any()


def test_views_and_what_is_written_in_place_are_no_new_bytes() -> None:
    x = torch.randn(4, 6)
    assert counted(lambda: x.T.reshape(2, 12)[:1])[0] == 2 * 4 * 24, "one copy, in another order"
    assert counted(lambda: x.add_(1).view(24).mul_(2)) == (0, 0)


def test_what_is_held_counts_where_it_is_read_and_a_table_by_its_rows() -> None:
    x, idle, table = torch.randn(3), torch.randn(5), torch.randn(100, 2)
    assert counted(lambda: x + 1, [x, idle])[0] == 4 * (3 + 2 * 3)
    rows = torch.tensor([7, 8])
    assert counted(lambda: nn.functional.embedding(rows, table), [table])[0] == 4 * 2 * 2 * 2


def test_the_larger_of_both_times_binds() -> None:
    machine = Machine(flops=100.0, bytes=10.0)
    compute, memory = Work(200, 10).on(machine, 4.0), Work(200, 50).on(machine, 4.0)
    assert (compute.bound, compute.attainable_seconds, compute.share) == ("compute", 2.0, 0.5)
    assert (memory.bound, memory.attainable_seconds, memory.share) == ("memory", 5.0, 1.25)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_machine_has_a_peak_and_a_bandwidth(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.bench.roofline._ROWS", {"cpu": 64})
    monkeypatch.setattr("harness.bench.roofline._NUMBERS", {"cpu": 1 << 16})
    monkeypatch.setattr("harness.bench.roofline._LEAST", 0.001)
    found = measured_machine("cpu", precision, 0.001)  # type: ignore[arg-type]
    assert found.flops > 1e6
    assert found.bytes > 1e6


def test_a_slow_first_call_says_nothing_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What touches memory for the first time, or waits for another process, may take longer than the whole budget."""
    took = iter([0.3, 0.2, *[0.01] * 1000])
    clock = [0.0]

    def call() -> None:
        clock[0] += next(took)

    monkeypatch.setattr("harness.bench.timing.time.perf_counter", lambda: clock[0])
    assert roofline._fastest(call, "cpu", 0.001) == pytest.approx(0.01)
