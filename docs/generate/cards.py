"""The fields of data-set cards, from the models that read them."""

from __future__ import annotations

from generate import tables
from harness.data.card import DatasetCard
from harness.data.card_parts import (
    AnnotationCard,
    ClassCard,
    FeatureCard,
    GlanceCard,
    ProtocolCard,
    SplitCard,
    VariantCard,
)
from harness.paths import cards_dir
from harness.records.alignment import Alignment

_PARTS = {
    "The card": DatasetCard,
    "A class": ClassCard,
    "A split": SplitCard,
    "Alignment": Alignment,
    "Annotations": AnnotationCard,
    "Glances": GlanceCard,
    "A feature set": FeatureCard,
    "Protocol": ProtocolCard,
    "A variant of the protocol": VariantCard,
}


def fields() -> str:
    """Return a section for each part of a card."""
    return "\n".join(tables.model(part, f"## {title}\n\n`{part.__name__}`") for title, part in _PARTS.items())


def built_in() -> str:
    """Return what `datasets/README.md` says of the built-in cards, without its head."""
    return (cards_dir() / "README.md").read_text(encoding="utf-8").partition("\n## ")[2].join(["## ", ""])
