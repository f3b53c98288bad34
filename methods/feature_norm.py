"""Feature norm: the length of a snippet's feature as its score. What RTFM's magnitude says without learning."""

from __future__ import annotations

from torch import Tensor

from harness.plugin import Method, MethodCard, Prediction, Reading


class FeatureNorm(Method):
    """Scores |x| / (1 + |x|), which keep the order of the norms. Features of unit length all score 1/2."""

    card = MethodCard(
        name="feature-norm", title="Feature norm", family="floor", input_scale="not normalised", training="none"
    )

    def reading(self) -> Reading:
        """Snippet by snippet."""
        return Reading(online=True)

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores `[B, T]` in [0, 1)."""
        norms = features.norm(dim=-1)
        return Prediction(norms / (1 + norms))
