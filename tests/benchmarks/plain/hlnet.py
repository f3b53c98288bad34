"""HL-Net as published (more 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.methods.hlnet import Forward, HLNet
from harness.plugin import Batch
from tests.benchmarks.plain._bags import top_means
from tests.benchmarks.plain._time import convolved
from tests.benchmarks.plain._video import along, distances, similarities


class Plain(HLNet):
    """What is more work than needed.

    - graphs: of similarity and of scores video by video; the distance graph is built again on each forward.
    - loss: top-k means and distillation video by video.
    - evaluation: one video at a time.
    """

    def forward(self, features: Tensor, lengths: Tensor, masked: bool = False) -> Forward:
        """Return both branches' logits of videos `[B, T, D]`."""
        x = features.transpose(1, 2)
        for layer in self.reduce:
            x = self.dropped(F.relu(convolved(layer, x)))
        online = self.online_logits(x)
        graphs = {
            "holistic": similarities(features, lengths, self.config.similarity_threshold),
            "localised": distances(x.shape[2]).to(x).expand(len(x), -1, -1),
            "scored": self.score_graph(online.detach().sigmoid(), lengths),
        }
        x = x.transpose(1, 2)
        branches = []
        for name, layers in self.branches.items():
            hidden = x
            for layer in layers:
                hidden = self.dropped(F.relu(along(layer, hidden, graphs[name])))
            branches.append(hidden)
        return Forward(self.classifier(torch.cat(branches, dim=2)).squeeze(2), online)

    def online_logits(self, x: Tensor) -> Tensor:
        """Return the causal branch's logits `[B, T]` of x `[B, D, T]`."""
        *layers, last = self.online
        for layer in layers:
            x = F.relu(convolved(layer, x))
        return convolved(last, F.pad(x, (self.config.online_kernel - 1, 0))).squeeze(1)

    def dropped(self, x: Tensor) -> Tensor:
        """Dropout."""
        return F.dropout(x, self.config.dropout, self.training)

    def score_graph(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Return the graph `[B, T, T]` of scores `[B, T]`."""
        close = 1 - (scores[:, :, None] - scores[:, None, :]).abs()
        rows = ((close - self.config.score_centre) / self.config.score_scale).sigmoid()
        graph = torch.zeros_like(rows)
        for video, length in enumerate(lengths.tolist()):
            graph[video, :length, :length] = rows[video, :length, :length].softmax(dim=1)
        return graph

    def losses(self, out: Forward, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms, weighted."""
        c = self.config
        distilled = []
        for offline, online, length in zip(out.offline, out.online, batch.lengths.tolist(), strict=True):
            distilled.append((-offline[:length].detach().sigmoid() * F.logsigmoid(online[:length])).mean())
        offline, online = (
            F.binary_cross_entropy(top_means(logits, batch.lengths).sigmoid(), batch.abnormal)
            for logits in (out.offline, out.online)
        )
        distill = c.distill_weight * torch.stack(distilled).mean()
        return {"offline": offline, "online": c.online_weight * online, "distill": distill}
