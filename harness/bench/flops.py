"""FLOPs of the operators that torch's own counter leaves out, from the shapes of what they are given."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import sdpa_backward_flop_count, sdpa_flop_count

Shape = Sequence[int]


def _product(one: Shape, other: Shape, *rest: Any, **more: Any) -> int:
    """Matrices `[..., M, K]` and `[..., K, N]`; of vectors M or N is 1, or both are."""
    return 2 * prod(one) * (other[-1] if len(other) > 1 else 1)


def _added_product(added: Shape, one: Shape, other: Shape, *rest: Any, **more: Any) -> int:
    return _product(one, other)


def _attention(query: Shape, key: Shape, value: Shape, *rest: Any, **more: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward(grad: Shape, query: Shape, key: Shape, value: Shape, *rest: Any, **more: Any) -> int:
    return int(sdpa_backward_flop_count(grad, query, key, value))


def _self_attention(query: Shape, *rest: Any, **more: Any) -> int:
    """`[B, T, D]` to itself with the two projections around it; rest: key, value, D, heads, weights and biases."""
    _, _, width, heads, inward, _, outward = rest[:7]
    rows, length = query[:2]
    mixed = int(sdpa_flop_count(*[(rows, heads, length, width // heads)] * 3))
    return mixed + int(2 * rows * length * (prod(inward) + prod(outward)))


def _encoder_layer(source: Shape, *rest: Any, **more: Any) -> int:
    """Self-attention and the two layers behind it; rest: D, heads, weights and biases, two switches, norms, weights."""
    wide, narrow = rest[13], rest[15]
    return _self_attention(source, source, source, *rest) + int(2 * prod(source[:2]) * (prod(wide) + prod(narrow)))


_aten = torch.ops.aten
UNCOUNTED: dict[Any, Any] = {
    # What is computed in place, and vectors.
    _aten.addmm_: _added_product,
    _aten.baddbmm_: _added_product,
    _aten.addbmm: _added_product,
    _aten.addbmm_: _added_product,
    _aten.addmv: _added_product,
    _aten.addmv_: _added_product,
    _aten.mv: _product,
    _aten.dot: _product,
    # A CPU's attention, and what torch computes as one operator where no gradient is asked for.
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    _aten._native_multi_head_attention: _self_attention,
    _aten._transformer_encoder_layer_fwd: _encoder_layer,
}
