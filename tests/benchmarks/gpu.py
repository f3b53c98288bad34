"""What `gpu.sh` runs: speed, roofline, waits, stacked seeds and parity on one device, as JSON and a Markdown table."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from harness.bench.roofline import Machine, measured_machine, step_work
from harness.bench.timing import timed
from harness.io.atomic import write_json, write_text
from harness.parity.case import case_directories, read_case
from harness.parity.cases import adapters, check_case
from harness.plugin import Batch, Method
from harness.records.spec import Precision
from harness.training.arithmetic import arithmetic
from harness.training.sampling import ahead, moved
from harness.training.steps import backward, update
from harness.training.watch import Watch
from tests.benchmarks.stacked import Seeds
from tests.benchmarks.workload import FULL, batch, both, schedules
from tests.training.waits import Waits

Row = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """The preset, layers of the text tower, steps of a timed round, and rounds; a batch is the preset's."""

    preset: str
    layers: int
    steps: int
    rounds: int


SCALES = {"official": Scale("paper", 12, 20, 3), "tiny": Scale("fast", 3, 1, 1)}
# A CPU has no TF32, may be slow in bf16, and compiles for minutes.
WAYS: dict[str, list[tuple[Precision, bool]]] = {
    "cpu": [("fp32", False)],
    "cuda": [(precision, compiled) for precision in ("fp32", "tf32", "bf16") for compiled in (False, True)],
}


def speeds(name: str, device: str, scale: Scale) -> Iterator[Row]:
    """Measure a method's training step in every arithmetic, as it is written and compiled (on CUDA into graphs)."""
    plain, ours = (method.to(device).train() for method in both(name, replace(FULL, layers=scale.layers), scale.preset))
    drawn = batch(ours, ours.sampling().batch, full=False)
    for precision, compiled in WAYS[device]:
        with arithmetic(plain, device, precision):
            slow = _fastest(Steps(plain, drawn, device, plain=True), scale)
        with arithmetic(ours, device, precision):
            # Of every way of computing it, what is written down is what has to be done.
            work = step_work(ours, schedules(ours), moved(drawn, device))
            machine = _machine(device, precision)
        with arithmetic(ours, device, precision, compiled):
            steps = Steps(ours, drawn, device)
            fast = _fastest(steps, scale)
            waits = waited(steps, device)
        roof = work.on(machine, fast)
        yield {
            "method": name,
            "precision": precision,
            "compiled": compiled,
            "videos": len(drawn.lengths),
            "steps_per_second": 1 / fast,
            "times_faster_than_plain": slow / fast,
            "roofline": roof.model_dump(mode="json"),
            "waits": waits,
        }


class Steps:
    """Training steps as the training loop takes them: from pinned memory, read all together."""

    def __init__(self, method: Method, drawn: Batch, device: str, plain: bool = False) -> None:
        (self._batch,) = ahead(iter([drawn]), device)
        self.method, self._device = method, device
        self._schedules = schedules(method)
        self._watch = Watch(self._schedules, device)
        # On a CPU, too: what this proves is that nothing else reads.
        self._watch.deferred, self._watch.stopped = True, torch.zeros((), device=device)
        self._plain = plain  # whose optimizers cannot leave a step out
        self._taken = 0

    def take(self, count: int) -> None:
        """Take so many steps, of which none is read."""
        for _ in range(count):
            self._taken += 1
            backward(self.method, self._schedules, moved(self._batch, self._device), self._taken, self._watch)
            update(self._schedules, 1.0, None if self._plain else self._watch.stopped)

    def read(self) -> None:
        """Wait for the device, and fail unless all steps were finite."""
        assert all(row.finite for row in self._watch.read()), f"{self.method.card.name} diverged"


def seeds_at_once(device: str, scale: Scale) -> Row:
    """Measure five seeds of DeepMIL in one step, beside one seed."""
    seeds = Seeds("deepmil", replace(FULL, layers=scale.layers), scale.preset, 5, None, device)
    one = timed(lambda: seeds.alone(0), device, scale.rounds, 1).median
    stacked = timed(seeds.together, device, scale.rounds, 1).median
    return {"method": "deepmil", "seeds": 5, "one_seconds": one, "stacked_seconds": stacked, "ratio": stacked / one}


def _fastest(steps: Steps, scale: Scale) -> float:
    """Seconds of a step, the least of some rounds, after steps that warm up and compile."""
    steps.take(3 if scale.steps > 1 else 1)
    steps.read()
    found = []
    for _ in range(scale.rounds):
        start = time.perf_counter()
        steps.take(scale.steps)
        steps.read()
        found.append((time.perf_counter() - start) / scale.steps)
    return min(found)


def waited(steps: Steps, device: str) -> str:
    """Return what made the host wait in two steps, "" for nothing: CUDA says it, on a CPU it is followed up."""
    try:
        with _refused() if device == "cuda" else _followed(steps.method):
            steps.take(2)
    except RuntimeError as error:
        return str(error).split("\n")[0]
    finally:
        steps.read()
    return ""


@contextmanager
def _refused() -> Iterator[None]:
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@contextmanager
def _followed(method: Method) -> Iterator[None]:
    with Waits([*method.parameters(), *method.buffers()]) as waits:
        yield
    if waits.found:
        raise RuntimeError(str(dict(waits.found)))


def _machine(device: str, precision: Precision) -> Machine:
    return measured_machine(device, precision, 0.5 if device == "cuda" else 0.05)


def parity(folders: Sequence[Path], device: str, say: Callable[[str], None]) -> list[Row]:
    """Check all cases on the device, within their own tolerances."""
    rows = []
    for case in [read_case(path) for path in (case_directories(folders) if folders else [])]:
        if case.method not in adapters():
            continue
        try:
            found = check_case(case, device)
            rows.append({"case": found.case, "ok": found.ok, "strain": found.worst.strain, "worst": found.worst.output})
        except Exception as error:  # one case that cannot be computed is no reason to leave out the others
            rows.append({"case": case.path.name, "ok": False, "strain": None, "worst": str(error)[:200]})
        say(f"{'ok' if rows[-1]['ok'] else 'FAILED'} {rows[-1]['case']}")
    return rows


def markdown(document: dict[str, Any]) -> str:
    """Return the document as a page."""
    lines = [
        f"# {document['hardware']}, torch {document['torch']}, {document['size']} size",
        "",
        "| method | arithmetic | compiled | steps/s | share of roofline | bound by | x plain | waits |",
        "|---|---|---|---:|---:|---|---:|---|",
    ]
    for row in document["speeds"]:
        roof = row["roofline"]
        cells = (row["method"], row["precision"], "yes" if row["compiled"] else "no", f"{row['steps_per_second']:.3g}")
        rest = (f"{100 * roof['share']:.0f}%", roof["bound"], f"{row['times_faster_than_plain']:.2f}")
        lines.append(f"| {' | '.join((*cells, *rest, row['waits'] or 'none'))} |")
    stacked = document["stacked"]
    lines += [
        "",
        f"{stacked['seeds']} seeds of {stacked['method']} in one step: {stacked['ratio']:.2f} times one seed's.",
    ]
    lines += ["", "| parity case | holds | error / tolerance | worst |", "|---|---|---:|---|"]
    for row in document["parity"]:
        strain = "-" if row["strain"] is None else f"{row['strain']:.2g}"
        lines.append(f"| {row['case']} | {'yes' if row['ok'] else 'NO'} | {strain} | {row['worst']} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, check and write; exit code 1 if a step waits or a case does not hold."""
    parser = argparse.ArgumentParser(prog="gpu.sh", description=__doc__)
    parser.add_argument("--device", choices=tuple(WAYS), default="cuda")
    parser.add_argument("--size", choices=tuple(SCALES), default="official")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", required=True, help="comma-separated")
    parser.add_argument("cases", nargs="*", type=Path)
    asked = parser.parse_args(arguments)
    if asked.device == "cuda" and not torch.cuda.is_available():
        parser.error("this torch sees no CUDA device; DEVICE=cpu SIZE=tiny tries the script out")
    hardware = torch.cuda.get_device_name() if asked.device == "cuda" else platform.processor() or platform.machine()
    document: dict[str, Any] = {
        **{"hardware": hardware, "torch": torch.__version__, "device": asked.device, "size": asked.size},
        "speeds": [],
    }
    for name in asked.methods.split(","):
        for row in speeds(name, asked.device, SCALES[asked.size]):
            document["speeds"].append(row)
            way = f"{row['precision']}{', compiled' if row['compiled'] else ''}"
            print(f"{name}, {way}: {row['steps_per_second']:.3g} steps/s, waits: {row['waits'] or 'none'}", flush=True)
    document["stacked"] = seeds_at_once(asked.device, SCALES[asked.size])
    document["parity"] = parity(asked.cases, asked.device, lambda line: print(line, flush=True))
    asked.out.mkdir(parents=True, exist_ok=True)
    write_json(asked.out / "gpu.json", document)
    write_text(asked.out / "gpu.md", markdown(document))
    print(f"wrote {asked.out / 'gpu.json'} and {asked.out / 'gpu.md'}")
    return int(any(row["waits"] for row in document["speeds"]) or not all(row["ok"] for row in document["parity"]))


if __name__ == "__main__":
    raise SystemExit(main())
