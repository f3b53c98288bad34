"""Official checkpoints: nothing in them is executed; they convert key by key, or are refused with all that is wrong."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from harness.errors import Unsupported, UserError
from harness.io.digests import file_digest
from harness.methods.deepmil import DeepMIL
from harness.plugin import Method, MethodCard, MethodConfig, Task
from harness.registry import method_names
from harness.weights import convert as conversion
from harness.weights.checkpoints import Header, read_header, save_checkpoint, weights_hash
from harness.weights.convert import convert
from harness.weights.readers import read_weights

Call = Callable[..., tuple[int, str, str]]


def official(hidden: int = 16, bottleneck: int = 8, dim: int = 24) -> dict[str, Tensor]:
    """DeepMIL's official entries, small."""
    random = torch.Generator().manual_seed(1)
    shapes = {"fc1": (hidden, dim), "fc2": (bottleneck, hidden), "fc3": (1, bottleneck)}
    state = {f"{name}.weight": torch.randn(shape, generator=random) for name, shape in shapes.items()}
    return state | {f"{name}.bias": torch.randn(shape[0], generator=random) for name, shape in shapes.items()}


class Touch:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


class Custom:
    """A class that no loader knows."""


HOSTILE: dict[str, Callable[[Path, object], object]] = {
    "zip": lambda path, bad: torch.save({"model": official(), "args": bad}, path),
    "legacy": lambda path, bad: torch.save({"x": bad}, path, _use_new_zipfile_serialization=False),
    "pickle-2": lambda path, bad: path.write_bytes(pickle.dumps(bad, protocol=2)),
    "pickle-4": lambda path, bad: path.write_bytes(pickle.dumps({"model": bad}, protocol=4)),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("verb", ["convert", "eval"])
def test_code_in_a_checkpoint_is_refused_and_not_executed(kind: str, verb: str, harness: Call, tmp_path: Path) -> None:
    path, touched, out = tmp_path / "bad.pkl", tmp_path / "touched", tmp_path / "out.safetensors"
    HOSTILE[kind](path, Touch(touched))
    rest = ("--out", str(out)) if verb == "convert" else ("--dataset", "demo")
    code, stdout, stderr = harness(verb, str(path), "--method", "deepmil", *rest)
    assert (code, stdout) == (2, "")
    assert "refused, because loading it would execute code" in stderr
    assert "torch.save(model.state_dict(), FILE)" in stderr
    assert len(stderr.strip().splitlines()) == 1, stderr
    assert not touched.exists()
    assert not out.exists()
    function, arguments = Touch(touched).__reduce__()
    function(*arguments)
    assert touched.exists(), "the file was indeed hostile"


def test_objects_and_whole_models_are_refused(tmp_path: Path) -> None:
    for number, value in enumerate((Custom(), {"state_dict": official(), "args": Custom()}, nn.Linear(2, 3))):
        torch.save(value, tmp_path / f"{number}.pt")
        with pytest.raises(UserError, match=r"refused, because loading it would execute code \([\w.]+\)"):
            read_weights(tmp_path / f"{number}.pt")


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.pt": (lambda path: None, "no such file"),
    "directory.pt": (lambda path: path.mkdir(), "not a file of weights"),
    "empty.pt": (lambda path: path.touch(), "is empty"),
    "text.pt": (lambda path: path.write_text("not a checkpoint\n" * 9), "neither a file of PyTorch"),
    "npz.pkl": (lambda path: np.savez(path.open("wb"), np.ones(9)), "neither a file of PyTorch"),
    "zip.pkl": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(60)), "truncated or damaged"),
    "half.pt": (lambda path: (torch.save(official(), path), os.truncate(path, 900)), "truncated or damaged"),
    "list.pt": (lambda path: torch.save([1], path), "holds a list; expected tensors by name"),
    "numbers.pt": (lambda path: torch.save({"epoch": 3}, path), "holds epoch (int); expected tensors by name"),
    "control.pt": (lambda path: torch.save({"a\nb\x1b[2J": 1}, path), r"holds 'a\nb\x1b[2J' (int)"),
    "nothing.pt": (lambda path: torch.save({"state_dict": {}}, path), "holds no tensors"),
    "text.safetensors": (lambda path: path.write_text("no"), "not a readable safetensors file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_checkpoint_is_one_line(name: str, harness: Call, tmp_path: Path) -> None:
    make, expected = WRONG[name]
    make(tmp_path / name)
    out = tmp_path / "out.safetensors"
    code, stdout, stderr = harness("convert", str(tmp_path / name), "--method", "deepmil", "--out", str(out))
    assert (code, stdout) == (2, "")
    assert expected in stderr
    assert len(stderr.strip().splitlines()) == 1, stderr
    assert not out.exists()


def test_a_training_dict_that_holds_itself_ends(tmp_path: Path) -> None:
    loop: dict[str, object] = {}
    loop["model"] = loop
    torch.save(loop, tmp_path / "loop.pt")
    with pytest.raises(UserError, match=r"holds model \(dict\)"):
        read_weights(tmp_path / "loop.pt")


FORMS: dict[str, Callable[[Path, dict[str, Tensor]], object]] = {
    "bare.pkl": lambda path, state: torch.save(state, path),
    "legacy.pt": lambda path, state: torch.save(state, path, _use_new_zipfile_serialization=False),
    "model.pt": lambda path, state: torch.save({"model": state, "epoch": 4}, path),
    "net.pt": lambda path, state: torch.save({"net": {k: nn.Parameter(v) for k, v in state.items()}}, path),
    "state_dict.ckpt": lambda path, state: torch.save({"state_dict": state, "optimizer": {"lr": 1.0}}, path),
    # VadCLIP's and DSANet's training files keep the best score as a NumPy scalar.
    "scalar.pth": lambda path, state: torch.save({"model_state_dict": state, "ap": np.float64(0.5)}, path),
    "parallel.pt": lambda path, state: torch.save({f"module.{k}": v for k, v in state.items()}, path),
    "both.pt": lambda path, state: torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, path),
    "plain.safetensors": lambda path, state: save_file(state, path),
    # Wrappers around the module or its parts: torch.compile, DataParallel, both in either order.
    "compiled.pt": lambda path, state: torch.save({f"_orig_mod.{k}": v for k, v in state.items()}, path),
    "compiled-parallel.pt": lambda path, state: torch.save(
        {f"_orig_mod.module.{k}": v for k, v in state.items()}, path
    ),
    "parallel-compiled.pt": lambda path, state: torch.save(
        {f"module._orig_mod.{k}": v for k, v in state.items()}, path
    ),
    "twice.pt": lambda path, state: torch.save({f"module.module.{k}": v for k, v in state.items()}, path),
    "part.pt": lambda path, state: torch.save({k.replace("fc1.", "fc1._orig_mod."): v for k, v in state.items()}, path),
    "compiled.safetensors": lambda path, state: save_file({f"_orig_mod.{k}": v for k, v in state.items()}, path),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_weights(name: str, harness: Call, tmp_path: Path) -> None:
    state = official()
    FORMS[name](tmp_path / name, state)
    out = tmp_path / "ours.safetensors"
    code, stdout, stderr = harness("convert", str(tmp_path / name), "--method", "baseline", "--out", str(out), "--json")
    assert code == 0, stderr
    assert json.loads(stdout)["entries"] == 6
    found = load_file(out)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_a_converted_file_says_what_it_is(harness: Call, tmp_path: Path) -> None:
    path, one, two = tmp_path / "official.pkl", tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    torch.save(official(), path)
    arguments = ("convert", str(path), "--method", "deepmil", "--dataset", "demo", "--set", "deepmil.dropout=0.25")
    for out in (one, two):
        code, stdout, stderr = harness(*arguments, "--out", str(out))
        assert code == 0, stderr
    assert "deepmil for 24-d features: 6 entries" in stdout
    assert one.read_bytes() == two.read_bytes()
    with safe_open(one, framework="pt") as stored:
        (text,) = stored.metadata().values()
    assert text == json.dumps(json.loads(text), sort_keys=True)
    header = read_header(one)
    assert header is not None
    assert (header.method, header.dim, header.file) == ("deepmil", 24, ("official.pkl",))
    assert header.source == (file_digest(path),)
    assert header.config == DeepMIL.Config(hidden=16, bottleneck=8, dropout=0.25).model_dump()
    code, _, stderr = harness("convert", str(one), "--method", "deepmil", "--out", str(tmp_path / "three.safetensors"))
    assert code == 2
    assert "is converted already, a checkpoint of deepmil" in stderr


def test_everything_that_does_not_fit_is_listed_and_nothing_written(harness: Call, tmp_path: Path) -> None:
    state = official()
    del state["fc3.bias"], state["fc1.bias"]
    state |= {"fc2.bias": torch.zeros(9), "head.weight": torch.zeros(2, 3), "bad\nname": torch.zeros(1)}
    torch.save(state, tmp_path / "official.pkl")
    out = tmp_path / "out.safetensors"
    out.write_text("earlier")
    code, stdout, stderr = harness("convert", str(tmp_path / "official.pkl"), "--method", "deepmil", "--out", str(out))
    assert (code, stdout) == (2, "")
    lines = stderr.strip().splitlines()
    assert sorted(lines[:-1]) == [
        "missing: fc1.bias [16]",
        "missing: fc3.bias [1]",
        "shape: fc2.bias is [9], expected [8]",
        r"unexpected: 'bad\nname' [1]",
        "unexpected: head.weight [2, 3]",
    ]
    assert lines[-1] == (
        "error: official.pkl: no checkpoint of deepmil: 2 entries missing, 2 unexpected, 1 misshaped"
        "; shapes may depend on the data set, name it with --dataset"
    )
    assert out.read_text() == "earlier"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"conv.weight": torch.zeros(2, 2)}, "fc1.weight is missing, which tells a size; it holds conv.weight"),
        ({"fc1.weight": torch.zeros(3), "fc2.weight": torch.zeros(3)}, "its shapes tell no sizes"),
    ],
)
def test_a_checkpoint_of_another_method(state: dict[str, Tensor], expected: str, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "other.pkl")
    with pytest.raises(UserError, match=expected):
        convert([tmp_path / "other.pkl"], "deepmil", None, {}, None, print)


class TwoConfig(MethodConfig):
    width: int = 3


class Two(Method):
    """Two official files, one per stream, each with a dead layer and a mark."""

    card = MethodCard(name="two", title="Two", family="mil", training="inference-only")
    Config = TwoConfig
    unused_official: ClassVar[tuple[str, ...]] = (r"[ab]\.(dead\..*|first|second)",)

    def __init__(self, config: TwoConfig, task: Task) -> None:
        super().__init__(config, task)
        self.streams = nn.ModuleDict({name: nn.Linear(task.dim, config.width) for name in "ab"})

    @classmethod
    def official_stream(cls, state: Mapping[str, Tensor]) -> str:
        if "first" not in state and "second" not in state:
            raise Unsupported("neither stream of two")
        return "a." if "first" in state else "b."

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        width, dim = next(value for key, value in state.items() if key.endswith("proj.weight")).shape
        return dim, {"width": width}

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = {}
        for key, value in state.items():
            stream, _, rest = key.partition(".")
            if rest.startswith("proj."):
                found[f"streams.{stream}.{rest.removeprefix('proj.')}"] = value
        return found


def test_streams_are_merged_and_unused_entries_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "method_class", lambda name: Two)
    paths = []
    for mark in ("first", "second"):
        state = {"proj.weight": torch.randn(5, 7), "proj.bias": torch.randn(5), mark: torch.ones(1)}
        torch.save({f"module.{k}": v for k, v in (state | {"dead.weight": torch.ones(2)}).items()}, tmp_path / mark)
        paths.append(tmp_path / mark)
    for order in (paths, paths[::-1]):
        converted = convert(order, "two", None, {}, None, print)
        assert (converted.entries, len(converted.unused)) == (4, 4)
        assert converted.header.config == {"width": 5, "average_last": 0.0, "warmup_steps": 0}
        second = converted.method.saved_state()["streams.b.weight"]
        assert torch.equal(second, torch.load(paths[1])["module.proj.weight"])
    with pytest.raises(UserError, match=r"2 entries missing.*a file per stream, give all of them"):
        convert(paths[:1], "two", None, {}, None, print)
    with pytest.raises(UserError, match=r"holds a\.dead\.weight, which another of the files holds too"):
        convert([paths[0], paths[0]], "two", None, {}, None, print)
    torch.save(official(), tmp_path / "third")
    with pytest.raises(UserError, match="third: neither stream of two"):
        convert([tmp_path / "third"], "two", None, {}, None, print)


def test_a_method_without_official_checkpoints(harness: Call, tmp_path: Path) -> None:
    torch.save(official(), tmp_path / "a.pkl")
    arguments = ("convert", str(tmp_path / "a.pkl"), "--out", str(tmp_path / "b.safetensors"), "--method")
    for method, expected in {
        "linear-probe": "linear-probe has no official checkpoints",
        "mil": "--method mil: expected one method",
        "deepmill": "did you mean deepmil",
    }.items():
        code, _, stderr = harness(*arguments, method)
        assert code == 2
        assert expected in stderr
        assert len(stderr.strip().splitlines()) == 1


def test_the_hash_of_weights_sees_values_names_and_shapes() -> None:
    state = official()
    assert weights_hash(state) == weights_hash(dict(reversed(state.items())))
    changed = [
        state | {"fc1.bias": state["fc1.bias"] + 1e-6},
        {("x" if k == "fc1.bias" else k): v for k, v in state.items()},
        state | {"fc1.bias": state["fc1.bias"][None]},
        state | {"fc1.bias": state["fc1.bias"].double()},
    ]
    assert len({weights_hash(each) for each in [state, *changed]}) == 5


def test_a_header_of_another_version_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    save_file(official(), path, metadata={"harness": json.dumps({"method": "deepmil", "run": "r"})})
    with pytest.raises(UserError, match="header does not give method, config and width; write it again"):
        read_header(path)
    save_checkpoint(path, Header(method="deepmil", config={}, dim=24), official())
    assert read_header(path) == Header(method="deepmil", config={}, dim=24)


@pytest.mark.parametrize(
    ("file", "method", "dim", "parameters"),
    [("deepmil-i3d.pkl", "deepmil", 1024, 541_249), ("hlnet-xd.pkl", "hlnet", 1152, None)],
)
def test_real_checkpoints_convert(
    shared: Path, harness: Call, tmp_path: Path, file: str, method: str, dim: int, parameters: int | None
) -> None:
    if method not in method_names():
        pytest.skip(f"{method} is not registered")
    out = tmp_path / "ours.safetensors"
    source = shared / "real" / "checkpoints" / file
    code, stdout, stderr = harness("convert", str(source), "--method", method, "--out", str(out), "--json")
    assert code == 0, stderr
    document = json.loads(stdout)
    assert document["dim"] == dim
    assert parameters in (None, document["parameters"])
    assert document["entries"] + len(document["unused"]) == len(
        torch.load(source, weights_only=True, map_location="cpu")
    )
    assert file_digest(source) in document["source"]
