"""Checkpoints of ours: safetensors files that say themselves what they are."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from harness.errors import Damaged, UserError
from harness.io.atomic import replacing
from harness.io.digests import digest
from harness.plugin.method import Method, MethodConfig, Task
from harness.records.extraction import Recipe
from harness.weights.readers import read_metadata, read_weights, shown

KEY = "harness"
_AGAIN = "write it again (harness run --rerun, harness convert) or copy it again from where it is whole"


class Header(BaseModel):
    """What a checkpoint says of itself: what is needed to build its method again, and where the weights come from.

    The last `audio_dim` of the `dim` channels that it reads are of the sound. `run` is the id of the run that wrote it.
    `extraction` says how the features of its training were made, where they were extracted here. Converted weights name
    the official files and their SHA-256 instead. `digest` is the hash of all the rest and of the tensors, "" in files
    of earlier versions.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    method: str
    config: dict[str, Any]
    dim: int
    audio_dim: int = 0
    text_tower: str = ""
    run: str = ""
    extraction: Recipe | None = None
    file: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    digest: str = ""

    def signed(self, state: Mapping[str, Tensor]) -> Header:
        """Return the header with the hash of itself and of the tensors beside it."""
        return self.model_copy(update={"digest": digest(self._text(), weights_hash(state))})

    def fits(self, state: Mapping[str, Tensor]) -> bool:
        """Whether header and tensors are those that were written together; so is whatever says no hash."""
        return not self.digest or self.digest == self.signed(state).digest

    def _text(self) -> str:
        return json.dumps(self.model_dump(mode="json", exclude={"digest"}, exclude_defaults=True), sort_keys=True)


def read_header(path: Path) -> Header | None:
    """Return the header of a checkpoint without its hash, which was checked; None where the file is not one of ours.

    Raises:
        UserError: the file cannot be read, or is one of ours but of another version.
        Damaged: header and tensors are not those that were written.
    """
    metadata = read_metadata(path)
    if KEY not in metadata:
        if any('"digest"' in text and '"method"' in text for text in metadata.values()):
            raise Damaged(f"{path}: damaged, its header has lost its name; {_AGAIN}")
        return None
    try:
        header = Header.model_validate_json(metadata[KEY])
    except ValidationError as error:
        raise UserError(
            f"{path}: its header does not give method, config and width; write it again (harness run --rerun, convert)"
        ) from error
    if not header.fits(read_weights(path)):
        raise Damaged(f"{path}: damaged, header and weights are not those that were written; {_AGAIN}")
    return header.model_copy(update={"digest": ""})


def save_checkpoint(path: Path, header: Header, state: Mapping[str, Tensor]) -> None:
    """Write a checkpoint, atomically; equal content gives equal bytes."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    # One metadata entry: several are written in an order that changes from process to process.
    text = json.dumps(header.signed(tensors).model_dump(mode="json", exclude_defaults=True), sort_keys=True)
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={KEY: text})


def weights_hash(state: Mapping[str, Tensor]) -> str:
    """Hash of names, shapes and values: the same for a file and its converted form."""
    parts: list[bytes | str] = []
    for name, tensor in sorted(state.items()):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        parts += [name, f"{tensor.dtype}{tuple(tensor.shape)}", flat.view(torch.uint8).numpy().tobytes()]
    return digest(*parts)


def build_for_weights(cls: type[Method], config: MethodConfig, task: Task) -> Method:
    """Return the method with weights that do not matter; the caller's generator is left as it was.

    Raises:
        Unsupported: it cannot run on the task.
    """
    cls.check(dataclasses.replace(task, glances=True))  # clicks are for training
    with torch.random.fork_rng():
        return cls(config, task)


def misfits(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Return one line for each of our entries that is missing or of another shape in `given`."""
    lines = [f"missing: {name} {list(own[name].shape)}" for name in own if name not in given]
    return lines + [
        f"shape: {name} is {list(given[name].shape)}, expected {list(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]


def load(method: Method, state: Mapping[str, Tensor], label: str) -> None:
    """Put the weights of a checkpoint of ours into a method.

    Raises:
        UserError: they are not those of this method with this config and these classes.
    """
    own = method.saved_state()
    lines = misfits(own, state) + [f"unexpected: {shown(name)}" for name in state if name not in own]
    if lines:
        rest = f" and {len(lines) - 3} more" if lines[3:] else ""
        raise UserError(f"{label}: does not fit {method.card.name} here ({'; '.join(lines[:3])}{rest})")
    copy(method, state, label)


def copy(method: Method, state: Mapping[str, Tensor], label: str) -> None:
    """Load weights whose names and shapes are known to fit."""
    try:
        method.load_saved_state(state)
    except (RuntimeError, NotImplementedError) as error:  # sparse, quantised or without storage
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{label}: its tensors cannot be copied ({reason})") from error
