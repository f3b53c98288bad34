"""What a machine is busy with, sampled while a run is computed: processor, memory, disk, network, GPUs.

Names and units are those of MLflow's own system metrics. Read is what the kernel says in `/proc`, and what the program
`nvidia-smi` says of GPUs where it is there.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UserError
from harness.io.atomic import write_json
from harness.records.system_metrics import FILE, SystemMetrics

# Seconds between two samples at first. A run keeps at most so many: then every second one goes, and half as many come.
INTERVAL, MOST = 1.0, 512
# Seconds until the first sample, so that short runs have one.
FIRST = 0.1
_GPU = ("utilization.gpu", "memory.used", "memory.total", "power.draw", "power.limit")
_MB = 1e6


class Sampler:
    """Samples the machine in a thread of its own between `start` and `stop`; `place` is on the disk that counts."""

    def __init__(self, place: Path, interval: float = INTERVAL, most: int = MOST) -> None:
        self._place, self._interval, self._most = place, interval, most
        self._samples: list[tuple[int, dict[str, float]]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="harness samples the machine", daemon=True)
        self._gpu = shutil.which("nvidia-smi")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> SystemMetrics:
        """End, and return what was sampled; a metric that was not there all the time is left out."""
        self._ended.set()
        self._thread.join()
        times, found = [time for time, _ in self._samples], [values for _, values in self._samples]
        shared = [name for name in (found[0] if found else {}) if all(name in values for values in found)]
        columns = {name: tuple(values[name] for values in found) for name in shared}
        return SystemMetrics(times=tuple(times), values=columns)

    def _run(self) -> None:
        busy, net = _busy(), _network()
        wait = min(FIRST, self._interval)
        while not self._ended.wait(wait):
            now = _busy()
            self._sample(busy, now, net)
            busy = now
            wait = self._interval
            if len(self._samples) >= self._most:
                self._samples, self._interval = self._samples[::2], 2 * self._interval

    def _sample(self, before: tuple[int, int], now: tuple[int, int], net: tuple[int, int]) -> None:
        """Add a sample: of processors what they did since the one before, of the network since the run started."""
        values = {}
        if (passed := now[1] - before[1]) > 0:
            values["cpu_utilization_percentage"] = 100 * (now[0] - before[0]) / passed
        with contextlib.suppress(OSError, ValueError, KeyError):
            values |= _memory()
        with contextlib.suppress(OSError):
            disk = shutil.disk_usage(_there(self._place))
            values["disk_usage_percentage"] = 100 * disk.used / disk.total
            values["disk_usage_megabytes"], values["disk_available_megabytes"] = disk.used / _MB, disk.free / _MB
        received, sent = _network()
        values["network_receive_megabytes"] = (received - net[0]) / _MB
        values["network_transmit_megabytes"] = (sent - net[1]) / _MB
        values |= _gpus(self._gpu) if self._gpu else {}
        self._samples.append((int(1000 * time.time()), {name: round(value, 3) for name, value in values.items()}))


@contextlib.contextmanager
def sampled(directory: Path) -> Iterator[None]:
    """Sample the machine meanwhile; what was found goes into the directory that a run leaves, if it leaves one."""
    sampler = Sampler(directory.parent.parent)
    sampler.start()
    try:
        yield
    finally:
        found = sampler.stop()
        if directory.is_dir() and found.times:
            write_json(directory / FILE, found.model_dump(mode="json"))


def check_sampling() -> None:
    """Raise UserError where the system does not say what it is busy with."""
    if not Path("/proc/stat").exists():
        raise UserError("--system-metrics: this system has no /proc/stat to sample; leave it out")


def _there(place: Path) -> Path:
    """A place, or the nearest directory above it where it is still to be made."""
    return next((each for each in (place, *place.parents) if each.exists()), place)


def _busy() -> tuple[int, int]:
    """Ticks of all processors since the machine started: busy ones, and all."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        ticks = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # but for idle and waiting for a disk
    return 0, 0


def _memory() -> dict[str, float]:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    total = kilobytes["MemTotal"]
    used = total - kilobytes["MemAvailable"]
    return {
        "system_memory_usage_megabytes": 1024 * used / _MB,
        "system_memory_usage_percentage": 100 * used / total,
    }


def _network() -> tuple[int, int]:
    """Bytes received and sent since the machine started, but for those that stay on it."""
    received = sent = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/net/dev").read_text(encoding="ascii").splitlines()[2:]:
            name, numbers = line.split(":")
            if name.strip() != "lo":
                received, sent = received + int(numbers.split()[0]), sent + int(numbers.split()[8])
    return received, sent


def _gpus(program: str) -> dict[str, float]:
    """What each GPU of the machine does; nothing where the program does not answer."""
    line = [program, f"--query-gpu={','.join(_GPU)}", "--format=csv,noheader,nounits"]
    found: dict[str, float] = {}
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        answer = subprocess.run(line, capture_output=True, text=True, check=True, timeout=5)
        for index, row in enumerate(answer.stdout.strip().splitlines()):
            use, used, total, power, limit = (float(word) for word in row.split(","))
            found |= {
                f"gpu_{index}_utilization_percentage": use,
                f"gpu_{index}_memory_usage_megabytes": 1.048576 * used,
                f"gpu_{index}_memory_usage_percentage": 100 * used / total,
                f"gpu_{index}_power_usage_watts": power,
                f"gpu_{index}_power_usage_percentage": 100 * power / limit,
            }
    return found
