"""Convolution and normalisation over time of `[B, T, D]`.

Axes: B videos, windows or rows, T snippets, D channels. Weights have the names and shapes of torch's layers. A
convolution is one matrix product per tap, of snippets that lie a step apart: where snippets of the same time lie side
by side in memory, those are parts of one matrix, and nothing is gathered or copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def convolved(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, dilation: int = 1, groups: int = 1
) -> Tensor:
    """Return the convolution `[B, T', D']` of x `[B, T, D]` with a weight `[D', D / groups, taps]`."""
    image = x.transpose(1, 2).unsqueeze(2)  # one row of T pixels, channels last
    found = F.conv2d(image, weight.unsqueeze(2), bias, 1, (0, padding), (1, dilation), groups)
    return found.squeeze(2).transpose(1, 2)


class TimeConv(nn.Conv1d):
    """A convolution over time; in memory its weight lies tap by tap."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.weight = nn.Parameter(self.weight.detach().permute(2, 0, 1).contiguous().permute(1, 2, 0))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, T, D]` to `[B, T', D']`, in the order of memory of x if that is one of this module's."""
        (taps,), (step,), edge = self.kernel_size, self.dilation, int(self.padding[0])
        if taps == 1 and x.is_contiguous():
            return F.linear(x, self.weight.squeeze(2), self.bias)
        if x.device.type != "cpu" or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
            return convolved(x, self.weight, self.bias, edge, step)
        rows = x.transpose(0, 1)
        if taps == 1:
            found: Tensor = F.linear(rows.flatten(0, 1), self.weight.squeeze(2), self.bias).unflatten(0, rows.shape[:2])
        else:
            found = _Products.apply(rows, self.weight, self.bias, edge, step)  # type: ignore[no-untyped-call]
        found = found.transpose(0, 1)
        return found.contiguous() if x.is_contiguous() else found


class _Products(torch.autograd.Function):
    """A convolution of snippets `[T, B, D]` with a weight `[D', D, taps]`: `[T', B, D']`, in their order of memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, edge: int, step: int) -> Tensor:
        length, rows, taps = x.shape[0], x.shape[1], weight.shape[2]
        flat, by_tap = x.flatten(0, 1), weight.permute(2, 0, 1).contiguous()
        out_length = length + 2 * edge - step * (taps - 1)
        # For each tap the rows it is added to and the rows it reads.
        spans = []
        for shift in range(-edge, taps * step - edge, step):
            first, last = max(0, -shift), max(0, -shift, min(out_length, length - shift))
            spans.append((slice(first * rows, last * rows), slice((first + shift) * rows, (last + shift) * rows)))
        found = _like(flat, out_length * rows, weight.shape[0])
        found.zero_() if bias is None else found.copy_(bias)
        for matrix, (to, read) in zip(by_tap, spans, strict=True):
            found[to].addmm_(flat[read], matrix.T)
        ctx.save_for_backward(flat, by_tap)
        ctx.spans, ctx.rows, ctx.biased = spans, rows, bias is not None
        return found.view(out_length, rows, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        flat, by_tap = ctx.saved_tensors
        grad = grads[0].flatten(0, 1)
        before, weight = None, torch.empty_like(by_tap)
        for product, (to, read) in zip(weight, ctx.spans, strict=True):
            torch.mm(grad[to].T, flat[read], out=product)
        if ctx.needs_input_grad[0]:
            before = _like(flat, *flat.shape).zero_()
            for matrix, (to, read) in zip(by_tap, ctx.spans, strict=True):
                before[read].addmm_(grad[to], matrix)
            before = before.unflatten(0, (-1, ctx.rows))
        return before, weight.permute(1, 2, 0), grad.sum(dim=0) if ctx.biased else None, None, None


def _like(flat: Tensor, rows: int, channels: int) -> Tensor:
    """Return an empty `[rows, channels]` in the order of memory of `flat`."""
    by_channel = flat.stride(0) == 1 and flat.shape[1] > 1
    return flat.new_empty(channels, rows).T if by_channel else flat.new_empty(rows, channels)


class TimeNorm(nn.BatchNorm1d):
    """Batch normalisation of the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, T, D]` to `[B, T, D]`."""
        if not self.training:
            return super().forward(x.flatten(0, 1)).view_as(x)
        # With channels last torch sums statistics in float32, otherwise in float64; gradients can feel the difference.
        by_channel = x.permute(2, 1, 0)
        return super().forward(by_channel.flatten(1)[None]).view(by_channel.shape).permute(2, 1, 0)


def by_channel(x: Tensor) -> Tensor:
    """Return x `[B, T, D]` in the order of memory [D, T, B]."""
    return x.permute(2, 1, 0).contiguous().permute(2, 1, 0)


def by_time(x: Tensor) -> Tensor:
    """Return x `[B, T, D]` in the order of memory [T, B, D]."""
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """Return parts `[B, T, D_i]` joined to `[B, T, D]`, in the order of memory of the first."""
    if parts[0].permute(2, 1, 0).is_contiguous():
        return torch.cat([part.permute(2, 1, 0) for part in parts]).permute(2, 1, 0)
    return torch.cat([part.transpose(0, 1) for part in parts], dim=2).transpose(0, 1)
