"""Class texts for CLIP's text tower with learned vectors around the words.

Axes: C classes, L token slots, W width of the tower, D its projection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from harness.errors import Unsupported
from harness.text.tower import TextTower

# Marks a slot that holds no token but a learned vector.
_LEARNED = -1


class ClassPrompts(nn.Module):
    """Text features of the classes: SOT, `prefix` learned vectors, the words, `postfix` learned vectors, EOT.

    All classes share one learned table, a row per slot; words hide the rows of their slots. The rows after the last
    EOT are cut off: under the causal mask EOT does not see them. VadCLIP has learned vectors on both sides, DeSC's
    consistency stream before the words; its sensitivity stream also, and reads a second EOT right after the first
    (`repeat_eot`). With neither prefix nor postfix the texts are CLIP's own and nothing is learned.
    """

    slots: Tensor
    eot: Tensor

    def __init__(
        self, tower: TextTower, prompts: Sequence[str], prefix: int, postfix: int, repeat_eot: bool = False
    ) -> None:
        super().__init__()
        learned = prefix + postfix > 0
        self.context = nn.Parameter(torch.randn(tower.context, tower.width) * 0.01) if learned else None
        # SOT and EOT take a slot each; a prompt that is too long loses its last words.
        room = tower.context - 2 - prefix - postfix - repeat_eot
        if room < 1:
            raise Unsupported(f"{prefix} + {postfix} learned vectors leave no room in the {tower.context} text slots")
        ids = tower.tokenize(prompts)
        rows = []
        for tokens, end in zip(ids.tolist(), tower.eot(ids).tolist(), strict=True):
            sot, *words, eot = tokens[: end + 1]
            before, after = [_LEARNED] * prefix, [*[eot] * repeat_eot, *[_LEARNED] * postfix]
            rows.append([sot, *before, *words[:room], *after, eot])
        slots = torch.full((len(rows), max(map(len, rows))), _LEARNED)
        for slot_row, row in zip(slots, rows, strict=True):
            slot_row[: len(row)] = torch.tensor(row)
        self.register_buffer("slots", slots, persistent=False)
        self.register_buffer("eot", torch.tensor([len(row) - 1 for row in rows]), persistent=False)
        self._cache = Remembered()

    def forward(self, tower: TextTower) -> Tensor:
        """Return projected text features `[C, D]`, not normalised; kept at test until the learned vectors change."""
        return self._cache(lambda: self._encode(tower), [*self.parameters(), self.slots])

    def _encode(self, tower: TextTower) -> Tensor:
        tokens = tower.embed(self.slots.clamp(min=0))
        if self.context is not None:
            tokens = torch.where((self.slots == _LEARNED)[:, :, None], self.context[: tokens.shape[1]], tokens)
        return tower.project(tower(tokens, self.eot))


class Remembered:
    """What a computation on weights gave, without gradient, kept until a weight changes."""

    def __init__(self) -> None:
        self._kept: tuple[list[Tensor], Tensor] | None = None

    def __call__(self, compute: Callable[[], Tensor], weights: Sequence[Tensor]) -> Tensor:
        """Return `compute()`, or what it gave for equal `weights`; computed anew where a gradient is wanted."""
        if torch.is_grad_enabled() and any(weight.requires_grad for weight in weights):
            return compute()
        if self._kept is None or not all(map(_same, self._kept[0], weights)):
            # A training may use what a test has left here, so it must be an ordinary tensor.
            with torch.inference_mode(False), torch.no_grad():
                self._kept = ([weight.detach().clone() for weight in weights], compute())
        return self._kept[1]


def _same(a: Tensor, b: Tensor) -> bool:
    return a.device == b.device and torch.equal(a, b)
