"""Files of weights as people have them: with the names of wrappers, and cut off."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from harness.data.bank import Bank
from harness.errors import UserError
from harness.plugin import Method, MethodCard, MethodConfig, Prediction, Task
from harness.runs import checkpoint_loading as loading
from harness.runs import method_side as execute
from harness.weights.checkpoints import Header, save_checkpoint
from harness.weights.readers import read_weights, unwrapped
from tests.weights.test_official_checkpoints import FORMS, official

Call = Callable[..., tuple[int, str, str]]
# Width of the demo's features.
DIM = 512


@pytest.mark.parametrize("name", ["compiled.pt", "parallel-compiled.pt", "compiled.safetensors"])
def test_eval_and_compare_take_wrapped_weights(name: str, harness: Call, tmp_path: Path, demo: Bank) -> None:
    state = official(dim=DIM)
    torch.save(state, tmp_path / "plain.pkl")
    FORMS[name](tmp_path / name, state)
    line = ("--dataset", "demo", "--json")
    documents = []
    for path in ("plain.pkl", name):
        code, stdout, stderr = harness("eval", str(tmp_path / path), "--method", "deepmil", *line)
        assert code == 0, stderr
        documents.append(json.loads(stdout)["metrics"])
    assert documents[0] == documents[1]
    pair = [f"deepmil:{tmp_path / path}" for path in ("plain.pkl", name)]
    code, stdout, stderr = harness("compare", *pair, *line, "--resamples", "100")
    assert code == 0, stderr
    assert all(each["difference"] == 0 for each in json.loads(stdout)["pairs"])


def test_names_that_are_the_methods_own_stay() -> None:
    one, two = torch.zeros(1), torch.ones(1)
    for state in ({"module.a": one, "b": two}, {"a": one, "_orig_mod.a": two}, {}):
        assert unwrapped(state) == state
    assert unwrapped({"net.module.a": one, "net._orig_mod.b": two}) == {"net.module.a": one, "net.b": two}


class Wrapped(Method):
    """Its own names are those of a wrapper."""

    card = MethodCard(name="wrapped", title="Wrapped", family="mil", training="none")

    def __init__(self, config: MethodConfig, task: Task) -> None:
        super().__init__(config, task)
        self.module = torch.compile(nn.Linear(task.dim, 1))

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        return Prediction(self.module._orig_mod(features).squeeze(2).sigmoid())


def test_a_checkpoint_of_ours_keeps_its_names(
    harness: Call, tmp_path: Path, demo: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = Wrapped(MethodConfig(), Task("demo", ("a", "b"), ("a", "b"), DIM))
    path = tmp_path / "own.safetensors"
    save_checkpoint(path, Header(method="wrapped", config={}, dim=DIM), method.saved_state())
    monkeypatch.setattr(loading, "one_method", lambda name: name)
    for module in (loading, execute):
        monkeypatch.setattr(module, "method_class", lambda name: Wrapped)
    code, _, stderr = harness("eval", str(path), "--dataset", "demo", "--json")
    assert code == 0, stderr


@pytest.mark.parametrize("name", ["bare.pkl", "legacy.pt", "state_dict.ckpt", "plain.safetensors"])
def test_a_file_that_was_cut_off_says_so_wherever(name: str, tmp_path: Path) -> None:
    FORMS[name](tmp_path / name, official())
    whole = (tmp_path / name).read_bytes()
    places = {0, 1, 2, 3, 4, 8, 9, 40, len(whole) - 1, len(whole) - 20, *range(0, len(whole), len(whole) // 60)}
    for place in places:
        (tmp_path / name).write_bytes(whole[:place])
        with pytest.raises(UserError, match="truncated or damaged; copy or download it again"):
            read_weights(tmp_path / name)
