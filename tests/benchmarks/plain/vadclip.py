"""VadCLIP as published (dv 2, 3)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from harness.methods.layers.clip import TwoBranch, soft_cross_entropy, unit
from harness.methods.vadclip import VadCLIP
from harness.plugin import Batch, Prediction
from tests.benchmarks.plain._bags import top_means
from tests.benchmarks.plain._texts import prompted
from tests.benchmarks.plain._video import encoded


class Plain(VadCLIP):
    """What is more work than needed.

    - 3: each forward, also at test, encodes the prompts, all 77 slots of each, also those behind EOT.
    - 2.2: the local attention is computed among all positions and masked.
    - 2.3: the distance graph is built again on each forward; the similarity graph video by video.
    - 4.4: top-k means video by video.
    - 1.4: windows are padded to the training length, and all padded rows go through everything.
    """

    def forward(self, features: Tensor, lengths: Tensor, known: Tensor | None = None) -> TwoBranch:
        """Return texts, visual features and both branches' logits of windows `[B, T, D]`."""
        text = prompted(self.prompts, self.text)
        visual, logits1 = encoded(self.encoder, features, lengths)
        return TwoBranch(text, visual, logits1, self.align(visual, logits1, text))

    def losses(self, out: TwoBranch, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms, weighted."""
        c, text = self.config, unit(out.text)
        target = batch.labels / batch.labels.sum(dim=1, keepdim=True)
        scores = top_means(out.logits1.sigmoid(), batch.lengths)
        return {
            "binary": c.binary_weight * F.binary_cross_entropy(scores, batch.abnormal),
            "alignment": c.alignment_weight * soft_cross_entropy(top_means(out.logits2, batch.lengths), target),
            "text": c.text_weight * (text[1:] @ text[0]).abs().mean(),
        }

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores sigmoid(a) and class probabilities softmax(logits2)."""
        out = self(features, lengths)
        return Prediction(out.logits1.sigmoid(), out.logits2.softmax(dim=2))
