"""What belongs to a process rather than to a run: looked at before and after one, it shows what the run left behind.

A look costs some milliseconds. It sees names and attributes that now mean something else (monkey patches), settings of
torch, NumPy and Python, and what the process has of the system: directory, environment, files, threads, children. It
does not see what was changed inside an object, such as an element of a list.
"""

from __future__ import annotations

import builtins
import gc
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from operator import is_
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.random.mtrand import get_bit_generator

# Modules whose names count, and whose classes' attributes count.
_MODULES = (
    *("torch", "torch.nn", "torch.nn.functional", "torch.nn.init", "torch.optim", "torch.optim.lr_scheduler"),
    *("torch.linalg", "torch.fft", "torch.special", "torch.autograd", "torch.random", "torch.cuda", "torch.utils.data"),
    *("numpy", "numpy.linalg", "numpy.random", "random", "math", "os", "os.path", "sys", "io", "json", "time"),
    *("builtins", "pathlib", "tempfile", "shutil", "threading", "subprocess", "pickle", "functools", "itertools"),
)
_PACKAGES = ("harness.",)
_TORCH = os.path.dirname(torch.__file__) + os.sep
# Where the classes are from whose attributes count.
_CLASSES = ("torch", "numpy", "random", "threading", "subprocess", "pathlib", "harness")
_VARIABLES = (int, float, str, list, dict, set, type(None))
# Names that their own modules set anew as they work.
_OWN_BUSINESS = frozenset({"sys.last_exc", "sys.last_type", "sys.last_value", "sys.last_traceback", "builtins._"})
# Attributes that Python itself sets anew on classes.
_CLASS_BUSINESS = frozenset({"__abstractmethods__", "__weakref__", "__dict__", "__annotations__", "_abc_impl"})


class _Space(NamedTuple):
    """Names of a module or class and what they meant at first; `behind` is where other names are looked up."""

    label: str
    owner: ModuleType | type
    names: tuple[str, ...]
    meant: tuple[Any, ...]
    size: int
    behind: tuple[Mapping[str, Any], ...]

    def changes(self) -> list[str]:
        """Names that mean something else now."""
        found: list[str] = []
        now = vars(self.owner)
        if not all(map(is_, map(now.get, self.names), self.meant)):
            pairs = zip(self.names, self.meant, strict=True)
            found = [name for name, meant in pairs if not _same(now.get(name), meant)]
        if len(now) > self.size:  # a new name may hide another
            found += [name for name in set(now) - set(self.names) if self._hides(name)]
        return [name for name in found if f"{self.label}.{name}" not in _OWN_BUSINESS]

    def put_back(self, name: str) -> None:
        """Let a name mean what it meant at first."""
        if name in self.names:
            setattr(self.owner, name, self.meant[self.names.index(name)])
        else:
            delattr(self.owner, name)

    def _hides(self, name: str) -> bool:
        if name[:1] == "_" or not (hidden := [space[name] for space in self.behind if name in space]):
            return False
        return not _same(vars(self.owner)[name], hidden[0])


def _same(now: Any, meant: Any) -> bool:
    """Whether a name means what it meant, perhaps wrapped by torch itself: it does so when it is first used."""
    return now is meant or _unwrapped(now) is _unwrapped(meant)


def _unwrapped(value: Any) -> Any:
    """What torch wrapped, however often; the value itself where it did not."""
    while (inner := getattr(value, "__wrapped__", None)) is not None:
        if not str(getattr(getattr(value, "__code__", None), "co_filename", "")).startswith(_TORCH):
            break
        value = inner
    return value


class ProcessState:
    """The state of this process when it was first looked at; of modules that came later, when they had come."""

    def __init__(self) -> None:
        self._spaces: list[_Space] = []
        self._known: set[str | int] = set()
        self._take_in()
        self._facts = {name: read() for name, read in _FACTS.items()}

    def changes(self) -> list[str]:
        """Return in a few words each what is otherwise now; a new name that hides no other does not count."""
        return self.patches() + [name for name, read in _FACTS.items() if read() != self._facts[name]]

    def patches(self) -> list[str]:
        """Return the names that mean something else now, such as "torch.sigmoid"."""
        found = [f"{space.label}.{name}" for space in self._spaces for name in space.changes()]
        self._take_in()
        return found

    def put_back(self, but: tuple[str, ...]) -> list[str]:
        """Let changed names mean what they meant at first, and return them; those of modules `but` stay as they are."""
        found = []
        for space in self._spaces:
            if space.label.partition(".")[0] not in but:
                for name in space.changes():
                    space.put_back(name)
                    found.append(f"{space.label}.{name}")
        return found

    def _take_in(self) -> None:
        """Add the modules that count and are not known yet, and the classes in them."""
        loaded = list(sys.modules.items())
        for label, module in loaded:
            if label not in self._known and (label in _MODULES or label.startswith(_PACKAGES)):
                self._known.add(label)
                self._spaces.append(_module_space(label, module))
                for value in self._spaces[-1].meant:
                    if isinstance(value, type) and id(value) not in self._known:
                        self._known.add(id(value))
                        if value.__module__.startswith(_CLASSES):
                            self._spaces.append(_class_space(value))


def _module_space(label: str, module: ModuleType) -> _Space:
    ours = label.startswith(_PACKAGES)
    # Private names of libraries are theirs to set; private variables, also ours.
    counts = {
        name: value
        for name, value in vars(module).items()
        if not (name.startswith("_") and (not ours or isinstance(value, _VARIABLES)))
    }
    return _Space(label, module, tuple(counts), tuple(counts.values()), len(vars(module)), (vars(builtins),))


def _class_space(cls: type) -> _Space:
    counts = {name: value for name, value in vars(cls).items() if name not in _CLASS_BUSINESS}
    bases = tuple(vars(base) for base in cls.__mro__[1:])
    label = f"{cls.__module__}.{cls.__qualname__}"
    return _Space(label, cls, tuple(counts), tuple(counts.values()), len(vars(cls)), bases)


def numpy_generator() -> tuple[list[int], int]:
    """The state of NumPy's global generator, as values that compare."""
    state: Any = get_bit_generator().state["state"]
    return state["key"].tolist(), state["pos"]


def _hooks() -> list[int]:
    """Hooks that all modules of a process share."""
    module = torch.nn.modules.module
    return [len(value) for name, value in sorted(vars(module).items()) if name.startswith("_global_") and value]


def _handlers() -> list[Any]:
    return [signal.getsignal(number) for number in sorted(signal.valid_signals())]


def _environment() -> dict[str, str]:
    """Variables but those that torch's compiler sets for itself when a first optimizer is made."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TORCHINDUCTOR_")}


def _open_files() -> list[str]:
    found = []
    for number in _listed("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:  # that of the listing itself
            continue
    return sorted(found)


def _children() -> list[str]:
    try:
        return [word for path in Path("/proc/self/task").glob("*/children") for word in path.read_text().split()]
    except OSError:
        return []


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


def _numbers_of_torch() -> tuple[Any, ...]:
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return (
        *(cuda.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic, cudnn.enabled),
        *(torch.backends.mkldnn.enabled, torch.is_anomaly_enabled(), torch.is_autocast_enabled("cpu")),
        *(torch.is_inference_mode_enabled(), torch.get_num_interop_threads()),
    )


_FACTS: Mapping[str, Callable[[], Any]] = {
    "torch's generator": lambda: torch.get_rng_state().numpy().tobytes(),
    "NumPy's generator": numpy_generator,
    "Python's generator": random.getstate,
    "torch's default dtype": torch.get_default_dtype,
    "torch's default device": lambda: str(torch.get_default_device()),
    "torch's number of threads": torch.get_num_threads,
    "torch's grad mode": torch.is_grad_enabled,
    "torch's deterministic mode": torch.get_deterministic_debug_mode,
    "torch's matmul precision": torch.get_float32_matmul_precision,
    "torch's backends": _numbers_of_torch,
    "hooks on all modules": _hooks,
    "NumPy's error handling": np.geterr,
    "NumPy's printing": lambda: {name: str(value) for name, value in np.get_printoptions().items()},
    "the current directory": _directory,
    "the environment": _environment,
    "sys.path": lambda: list(sys.path),
    "signal handlers": _handlers,
    "threads": lambda: sorted(thread.name for thread in threading.enumerate()),
    "child processes": _children,
    "open files": _open_files,
    "the garbage collector": lambda: (gc.isenabled(), gc.get_threshold(), len(gc.callbacks)),
    "the recursion limit": sys.getrecursionlimit,
    "tracing": lambda: (sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile()),
}
