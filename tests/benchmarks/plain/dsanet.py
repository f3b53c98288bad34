"""DSANet as published (dv 2, 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.methods.dsanet import DSANet, Forward
from harness.methods.layers.clip import soft_cross_entropy, unit
from harness.methods.layers.prototypes import PrototypeBlock
from harness.plugin import Batch, Prediction
from tests.benchmarks.plain._bags import top_means
from tests.benchmarks.plain._texts import full_context
from tests.benchmarks.plain._video import activated, encoded


class Plain(DSANet):
    """What is more work than needed.

    - 1.2, 4.1: texts are encoded at all 77 slots, of which at most four hold tokens. At test once, as published.
    - 2.2: the local attention is computed among all positions and masked.
    - 2.3: the distance graph is built again on each forward; the similarity graph video by video.
    - 4.3: the normality model rebuilds padded rows too, which no loss reads; at test nothing reads any of it (8.3),
      nor logits3 and logits4.
    - 4.4: top-k means video by video.
    - 1.4: windows are padded to the training length, and all padded rows go through everything.
    """

    kept: Tensor | None = None

    def forward(self, features: Tensor, lengths: Tensor, known: Tensor | None = None) -> Forward:
        """Return all logits and losses' inputs for windows `[B, T, D]`, also where padded rows are `known`."""
        text = self.class_texts()
        visual, logits1 = encoded(self.encoder, features, lengths)
        scores = logits1.sigmoid()
        rebuilt, gather = self.refined(visual, scores)
        logits2 = self.align(visual, logits1, text)
        logits3, logits4 = (self.pooled(visual, weights, text) for weights in (scores, 1 - scores))
        return Forward(text, visual, logits1, logits2, logits3, logits4, rebuilt, gather)

    def class_texts(self) -> Tensor:
        """Return unit text features `[C, D]`; at test those of the first time (8.1)."""
        if not self.training and self.kept is not None:
            return self.kept
        ids = full_context(self.texts.ids, self.text.context)
        rows = self.texts.output(self.text(self.text.embed(ids), self.text.eot(ids), self.adapted))
        self.kept = unit(F.leaky_relu(rows))
        return self.kept

    def adapted(self, index: int, hidden: Tensor) -> Tensor:
        """4.1: the output of text layer `index` mixed with what its adapter makes of it."""
        if index >= len(self.texts.adapters):
            return hidden
        r = F.leaky_relu(self.texts.adapters[index](hidden))
        r = r * hidden.norm(dim=-1, keepdim=True) / (r.norm(dim=-1, keepdim=True) + 1e-6)
        return self.texts.mix * r + (1 - self.texts.mix) * hidden

    def refined(self, visual: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """4.3: rebuilt features `[B, T, D]` of all rows and the gather loss."""
        refiner = self.refiner
        assert refiner is not None
        rows = scores.detach().topk(int(refiner.ratio * visual.shape[1]), dim=1, largest=False).indices
        normal = visual.detach().gather(1, rows[:, :, None].expand(-1, -1, visual.shape[2]))
        prototypes = refiner.gather(refiner.prototypes.expand(len(visual), -1, -1), normal)
        distance = 1 - F.cosine_similarity(normal[:, :, None], prototypes[:, None], dim=3)
        rebuilt = refiner.bottleneck.c_proj(activated(refiner.bottleneck.c_fc(visual)))
        for block in refiner.decoder:
            rebuilt = rectified(block, rebuilt, prototypes)
        return rebuilt, distance.min(dim=2).values.mean()

    def pooled(self, visual: Tensor, scores: Tensor, text: Tensor) -> Tensor:
        """4.2: logits `[B, C]` of features pooled by scores `[B, T]`."""
        weights = F.normalize(torch.exp(self.config.pool_sharpness * scores) - 1, p=1, dim=1)
        return unit((weights[:, :, None] * visual).sum(dim=1)) @ text.T / self.config.align_temperature

    def losses(self, out: Forward, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms, weighted."""
        c, classes = self.config, len(out.text)
        scores = out.logits1.sigmoid()
        target = batch.labels / batch.labels.sum(dim=1, keepdim=True)
        background = torch.full_like(target[:1], c.background_rest)
        background[:, 0] = 1
        background = 0.9 * background / background.sum() + 0.1 / classes
        surprise = (1 - F.cosine_similarity(out.visual, out.rebuilt, dim=2)) / 2
        valid = [(s[:n], r[:n]) for s, r, n in zip(scores, surprise, batch.lengths.tolist(), strict=True)]
        return {
            "binary": F.binary_cross_entropy(top_means(scores, batch.lengths), batch.abnormal),
            "alignment": c.loss2_weight * soft_cross_entropy(top_means(out.logits2, batch.lengths), target),
            "text": sum(F.cosine_similarity(out.text[0], row, dim=0).abs() for row in out.text[1:]) / (classes - 1),
            "event": soft_cross_entropy(out.logits3, 0.9 * target + 0.1 / classes),
            "background": soft_cross_entropy(out.logits4, background),
            "consistency": torch.cat([s - r for s, r in valid]).square().mean(),
            "gather": out.gather,
        }

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores sigmoid(a) and class probabilities, from a full forward."""
        out = self(features, lengths)
        return Prediction(out.logits1.sigmoid(), self.class_probs(out.logits1, out.logits2))


def rectified(block: PrototypeBlock, x: Tensor, y: Tensor) -> Tensor:
    """4.3.5: one decoder block, of x `[B, T, D]` and prototypes y `[B, K, D]`."""
    attn, (normed, other) = block.attn, (block.norm1(x), block.norm1(y))
    parts = (attn.q(normed), *attn.kv(other).chunk(2, dim=2))
    q, k, v = (part.unflatten(2, (attn.heads, -1)).transpose(1, 2) for part in parts)
    weights = F.relu(attn.learn_scale * (F.normalize(q, dim=3) @ F.normalize(k, dim=3).transpose(2, 3)))
    x = attn.proj((weights @ v).transpose(1, 2).flatten(2))
    mapped: Tensor = x + block.mlp(block.norm2(x))
    return mapped
