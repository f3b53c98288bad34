"""Graphs over the snippets of a video (Wu et al., arXiv 2007.04687), as HL-Net, VadCLIP, DSANet and DeSC use them.

Axes: B videos or windows, T snippets, D channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .convolution import TimeConv
from .time import valid_mask


def similarity_adjacency(
    x: Tensor, lengths: Tensor, threshold: float = 0.7, start: int = 0, stop: int | None = None
) -> Tensor:
    """Return `[B, T, T]`: cosine similarities, zero up to the threshold, softmax over the valid columns.

    Rows and columns beyond the length are zero. Zeroed similarities stay in the softmax as exp(0). With `start` and
    `stop` only those rows are computed.
    """
    norms, rows = x.norm(dim=2), slice(start, stop)
    cosine = x[:, rows] @ x.transpose(1, 2) / (norms[:, rows, None] * norms[:, None, :] + 1e-20)
    return valid_softmax(torch.where(cosine > threshold, cosine, torch.zeros_like(cosine)), lengths, start)


def valid_softmax(rows: Tensor, lengths: Tensor, start: int = 0) -> Tensor:
    """Return the softmax of graph rows `[B, R, T]` over the valid columns; `start` is the first row's number.

    Rows and columns beyond the length are zero.
    """
    valid = valid_mask(lengths, rows.shape[2])
    inside = valid[:, start : start + rows.shape[1], None]
    return rows.masked_fill(~valid[:, None, :], -torch.inf).softmax(dim=2) * inside


# From this distance on exp(-d / e) is below 2^-64 and vanishes in every float32 sum. As numbers they would be costly:
# where products fall below the smallest normal number, a CPU is ten times slower.
_REACH = 121
# A block of this length interacts with its two neighbours alone.
_BLOCK = 128


def distance_adjacency(length: int) -> Tensor:
    """Return exp(-|i - j| / e), `[T, T]`: constant, not normalised, 0 where it is below 2^-64."""
    steps = torch.arange(length, dtype=torch.float32)
    apart = (steps[:, None] - steps).abs()
    return torch.exp(-apart / math.e) * (apart < _REACH)


@cache
def _distances(device: torch.device, dtype: torch.dtype) -> Tensor:
    """The adjacency of 3 blocks, `[3 N, 3 N]`; that of a shorter video is its corner."""
    with torch.inference_mode(False):  # so that a training may use it as well
        return distance_adjacency(3 * _BLOCK).to(device, dtype, non_blocking=True)


def by_distance(x: Tensor) -> Tensor:
    """Return A x `[B, T, D]` of x `[B, T, D]` with A = exp(-|i - j| / e); memory grows as T, not as T * T."""
    length = x.shape[1]
    if length <= 3 * _BLOCK:
        return _distances(x.device, x.dtype)[:length, :length] @ x
    padded = F.pad(x, (0, 0, _BLOCK, _BLOCK + -length % _BLOCK))
    windows = padded.unfold(1, 3 * _BLOCK, _BLOCK)
    near = _distances(x.device, x.dtype)[_BLOCK : 2 * _BLOCK]
    return torch.einsum("bnds,ts->bntd", windows, near).flatten(1, 2)[:, :length]


# Entries of a T x T matrix that are held at once.
_ENTRIES = 1 << 20


def by_rows(rows: Callable[[int, int], Tensor], batch: int, length: int) -> Tensor:
    """Return `[B, T, D]` put together from rows(start, stop) `[B, stop - start, D]`.

    One call where B T x T matrices are small; long videos are cut so that a function that needs all columns of its
    rows (a softmax over the whole video) holds few rows at a time.
    """
    step = max(1, _ENTRIES // (batch * length))
    found = rows(0, min(step, length))
    if length <= step:
        return found
    # Written in place: a part kept in memory that a block has freed would leave the next block none of its size, and
    # a process would grow by a block for every part.
    whole = found.new_empty(batch, length, found.shape[2])
    whole[:, :step] = found
    for start in range(step, length, step):
        whole[:, start : start + step] = rows(start, min(start + step, length))
    return whole


def row_graph(rows: Callable[[int, int], Tensor], batch: int, length: int) -> Callable[[Tensor], Tensor]:
    """Return y -> A y `[B, T, D]`, where rows(start, stop) gives those rows of A `[B, stop - start, T]`.

    A is kept where it is small and computed in blocks of rows where it is not.
    """
    if batch * length * length <= _ENTRIES:
        matrix = rows(0, length)
        return lambda y: matrix @ y
    return lambda y: by_rows(lambda start, stop: rows(start, stop) @ y, batch, length)


class GraphLayer(nn.Module):
    """A X W plus a residual: a convolution over 5 snippets where the width changes, else the identity."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(dim, out)))
        self.residual = TimeConv(dim, out, kernel_size=5, padding=2) if dim != out else None

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """Map `[B, T, D]` to `[B, T, D']` along `adjacency` `[T, T]` or `[B, T, T]`."""
        return self.spread(x, lambda y: adjacency @ y)

    def spread(self, x: Tensor, graph: Callable[[Tensor], Tensor]) -> Tensor:
        """Map x `[B, T, D]` to graph(X W) plus the residual, for a graph that is no matrix."""
        rest = x if self.residual is None else self.residual(x)
        return graph(x @ self.weight) + rest
