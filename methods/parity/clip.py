"""What the parity cases of VadCLIP and of methods built on it have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from harness.parity.cases import Case
from harness.plugin import Batch, Task
from harness.text.openai import from_openai_state
from harness.text.tower import TextTower

from ..layers.clip import TwoBranch
from .adapter import is_xd
from .batches import padded

SNIPPET = 16
XD_CODES = ("A", "B1", "B2", "B4", "B5", "B6", "G")
# Channels of a head of CLIP's text tower.
HEAD = 64


def text_tower(
    state: Mapping[str, Tensor], prompts: Sequence[str], tokens: Sequence[list[int]], heads: int | None, name: str
) -> TextTower:
    """Return the tower under `clipmodel.` in an official state; it knows the `prompts` by their token ids."""
    clip = {key.removeprefix("clipmodel."): value for key, value in state.items() if key.startswith("clipmodel.")}
    heads = heads or clip["positional_embedding"].shape[1] // HEAD
    return from_openai_state(clip, heads, dict(zip(prompts, tokens, strict=True)).__getitem__, name)


def clip_task(case: Case, state: Mapping[str, Tensor], dim: int) -> Task:
    """Return a task of the case's class prompts, with the text tower that its official state holds."""
    prompts = tuple(case.values["prompts"])
    heads = case.config.get("clip_text_heads")
    tower = text_tower(state, prompts, case.values["token_ids"], heads, case.path.name)
    return Task(case.path.name, prompts, prompts, dim, tower)


def labelled(case: Case, name: str, lengths: Sequence[int], labels: Sequence[str]) -> Batch:
    """Return drawn windows, zero beyond their lengths, with multi-hot labels."""
    return Batch(*padded(case, name, lengths), multi_hot(labels, case.values["prompts"], is_xd(case)))


def test_logits(out: TwoBranch, case: Case) -> dict[str, Tensor]:
    """Return the logits of a training case's test video, read in windows."""
    length = len(case.draw("test"))
    return {"test_logits1": out.logits1.flatten()[:length], "test_logits2": out.logits2.flatten(0, 1)[:length]}


def windows(features: NDArray[np.float32], window: int) -> tuple[Tensor, Tensor]:
    """Cut `[L, D]` into the official test windows: a length divisible by `window` gets an empty one, said to be full.

    Returns:
        Windows `[N, window, D]`, zero-padded, and their lengths `[N]`.
    """
    length = len(features)
    count = length // window + 1
    padded = np.zeros((count * window, features.shape[1]), dtype=np.float32)
    padded[:length] = features
    lengths = torch.full((count,), window)
    lengths[-1] = length % window or window
    return torch.from_numpy(padded.reshape(count, window, -1)), lengths


def multi_hot(labels: Sequence[str], prompts: Sequence[str], xd: bool) -> Tensor:
    """Return `[B, C]`: UCF-Crime names one class, XD-Violence joins codes by dashes, 0 meaning none."""
    names = list(XD_CODES) if xd else [prompt.lower() for prompt in prompts]
    rows = torch.zeros(len(labels), len(names))
    for row, text in zip(rows, labels, strict=True):
        for part in text.split("-") if xd else [text.lower()]:
            if part in names:
                row[names.index(part)] = 1
    return rows


def frame_truth(lengths: Sequence[int], segments: Sequence[Sequence[Sequence[int]]]) -> NDArray[np.int64]:
    """Return the labels of all videos' frames in a row; `segments` are positive frames [start, end) of each."""
    truth = []
    for length, positive in zip(lengths, segments, strict=True):
        frames = np.zeros(length * SNIPPET, dtype=np.int64)
        for start, end in positive:
            frames[int(start) : int(end)] = 1
        truth.append(frames)
    return np.concatenate(truth)


def frame_metrics(
    scores: Sequence[NDArray[np.float64]], lengths: Sequence[int], segments: Sequence[Sequence[Sequence[int]]]
) -> list[float]:
    """Return AUC and AP of each of `scores` (snippets of all videos in a row); `segments` are frames [start, end)."""
    labels = frame_truth(lengths, segments)
    metrics: list[float] = []
    for values in scores:
        repeated = np.repeat(values, SNIPPET)
        metrics += [roc_auc_score(labels, repeated), average_precision_score(labels, repeated)]
    return metrics
