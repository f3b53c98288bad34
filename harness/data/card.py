"""Dataset cards: everything the harness knows about a data set, as one YAML file."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from harness.data.card_errors import explain
from harness.data.card_parts import (
    AnnotationCard,
    ClassCard,
    FeatureCard,
    FrameRule,
    GlanceCard,
    Name,
    Part,
    ProtocolCard,
    SplitCard,
    expression,
)
from harness.data.spelling import composed
from harness.errors import UserError
from harness.io.digests import digest
from harness.records.alignment import Alignment

# Fields that change no result, so that they are no part of a card's hash. Base classes enter the runs that are trained
# on them alone, and glances those that see them by a hash of their own.
PROSE = {"title", "preset", "licence", "source", "notes", "name_label", "fps", "base_classes", "glances"}
# Fields that came after the first results: unset, they are no part of it either.
_LATER = {"lists", "names", "stacked", "text", "audio", "audio_dim", "rule", "variants", "extraction"}


class DatasetCard(Part):
    """A data set. `family` names whose per-dataset method defaults apply; `preset` is the default preset.

    `name_label`: expression that finds a video's label in its name: the named group that matches, else the text of the
    unnamed one. `frame_counts`: a csv file with the header `video,frames` and a line for every video of both lists.
    `features` may be left out where they are made from videos (`harness data import --videos`).
    `alignment: {kind: segments}` and the protocol rules "exact", "padded" and "whole" need it, unless the annotations
    say how many frames a video has. `fps`: frames per second of its videos, for what is counted in seconds or hours (0:
    not known). `base_classes`: the abnormal classes that a training with an open vocabulary sees; the others are novel.
    `glances`: clicks in the training videos, which methods of the track "glance" learn from. `licence` and `source`: on
    what terms and where the data are had, if it is to be said.
    """

    name: Name
    title: str
    family: str = ""
    preset: str = "paper"
    classes: tuple[ClassCard, ...]
    base_classes: tuple[str, ...] = ()
    label_syntax: Literal["class", "codes"] = "class"
    name_label: str = ""
    splits: dict[Literal["train", "test"], SplitCard]
    alignment: Alignment
    frame_counts: str = ""
    fps: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0
    annotations: AnnotationCard | None = None
    glances: GlanceCard | None = None
    features: dict[Name, FeatureCard] = {}
    protocol: ProtocolCard = ProtocolCard()
    licence: str = ""
    source: str = ""
    notes: str = ""

    @field_validator("classes")
    @classmethod
    def _two_classes(cls, value: tuple[ClassCard, ...]) -> tuple[ClassCard, ...]:
        names = [name for c in value for name in (c.name, *c.aliases)]
        if len(value) < 2 or len(set(names)) != len(names):
            raise ValueError("at least two classes with distinct names are expected, the normal class first")
        return value

    @field_validator("name_label")
    @classmethod
    def _finds_a_label(cls, value: str) -> str:
        if value and not expression(value).groups:
            raise ValueError("the expression has no group")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> DatasetCard:
        if set(self.splits) != {"train", "test"}:
            raise ValueError("splits must be exactly train and test")
        known = set(self.class_names)
        for split, card in self.splits.items():
            for name in sorted(set(card.classes) - known):
                raise ValueError(f"splits.{split}.classes names {name!r}, which is not a class of the card")
        if self.alignment.stride < 1:
            raise ValueError(f"alignment.stride is {self.alignment.stride}, at least 1 is expected")
        if stray := sorted(set(self.base_classes) - set(self.class_names[1:])):
            raise ValueError(f"base_classes names {stray[0]!r}, which is not an abnormal class of the card")
        if self.glances and self.alignment.kind != "stride":
            raise ValueError("glances are frames, which need a stride (field alignment) to be found in features")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in order, normal first."""
        return tuple(c.name for c in self.classes)

    @property
    def prompts(self) -> tuple[str, ...]:
        """Prompt words in class order."""
        return tuple(c.prompt for c in self.classes)

    @property
    def settings_family(self) -> str:
        """Name under which methods keep per-dataset defaults."""
        return self.family or self.name

    @property
    def base_name(self) -> str:
        """Name of the card that this one is a variant of, or its own."""
        return self.name.partition("@")[0]

    @property
    def frame_rule(self) -> FrameRule:
        """How many frames a test video has, see `ProtocolCard`."""
        known = bool(self.frame_counts) or self.alignment.kind == "segments"
        return self.protocol.rule or ("exact" if known else "snippets")

    @property
    def protocol_words(self) -> str:
        """How results on this card are computed."""
        protocol = self.protocol
        return f"{self.alignment.kind}, {self.frame_rule} frames, primary {protocol.primary}, mAP {protocol.map}"

    def protocol_of(self, features: str) -> str:
        """How results with one feature set are computed: as `protocol_words`, and how the features were extracted."""
        spec = self.features.get(features)
        if spec is None or spec.extraction is None:
            return self.protocol_words
        made = spec.extraction
        return f"{self.protocol_words}; features by {made.words}, #{made.digest[:8]}"

    def variant(self, name: str) -> DatasetCard:
        """Return the card `NAME@variant`: the same data, scored by another of its protocols.

        Raises:
            UserError: the card has no such variant.
        """
        if name not in self.protocol.variants:
            known = ", ".join(self.protocol.variants) or "none"
            raise UserError(f"dataset {self.name}: no protocol variant {name!r}; it has {known}")
        chosen = self.protocol.variants[name]
        own: dict[str, Any] = {"rule": chosen.rule, "frames": chosen.frames, "positives": chosen.positives}
        annotations = self.annotations
        if annotations is not None:
            path, interval = chosen.annotations or annotations.path, chosen.interval or annotations.interval
            annotations = annotations.model_copy(update={"path": path, "interval": interval})
        return self.model_copy(
            update={
                "name": f"{self.name}@{name}",
                "family": self.settings_family,
                "protocol": self.protocol.model_copy(update=own | {"variants": {}}),
                "annotations": annotations,
            }
        )

    @property
    def without_totals(self) -> DatasetCard:
        """The card without what it expects of the whole test set, for a part of it."""
        unknown = {"frames": 0, "positives": 0}
        variants = {name: variant.model_copy(update=unknown) for name, variant in self.protocol.variants.items()}
        protocol = self.protocol.model_copy(update=unknown | {"variants": variants})
        return self.model_copy(update={"protocol": protocol})

    @property
    def digest(self) -> str:
        """Hash of the card with its first own feature set, see `digest_of`; others enter a run by their bank's hash."""
        return self.digest_of(next((name for name, spec in self.features.items() if spec.extraction is None), None))

    def digest_of(self, features: str | None) -> str:
        """Hash of what can change a result with one feature set, or with none.

        Left out: prose, the default preset, how names are read, frames per second (a run's metrics count frames), other
        feature sets and other protocols.
        """
        content = self.model_dump(mode="json", exclude=PROSE)
        content["features"] = {features: content["features"][features]} if features else {}
        content["protocol"].pop("variants")
        for part in (content["protocol"], *content["features"].values()):
            part.pop("notes", None)
            part.pop("description", None)
        return digest(json.dumps(_settled(content), sort_keys=True))

    def feature_set(self, name: str | None) -> tuple[str, FeatureCard]:
        """Return (name, card) of a feature set; None means the first of the card's own, or the only one.

        Raises:
            UserError: the card has no such feature set, or none at all.
        """
        if not self.features:
            how = "make them with `harness data import CARD.yaml --videos DIR`"
            raise UserError(f"dataset {self.name}: has no features yet; {how}")
        made = [each for each, spec in self.features.items() if spec.extraction is not None]
        if name is None and len(made) == len(self.features) > 1:
            # By their names, random weights could come before real ones.
            raise UserError(f"dataset {self.name}: has several feature sets; choose with --features: {', '.join(made)}")
        name = name or next(iter(self.features))
        if name not in self.features:
            raise UserError(f"dataset {self.name}: no feature set {name!r}; it has {', '.join(self.features)}")
        return name, self.features[name]

    def class_indices(self, label: str) -> tuple[int, ...]:
        """Return the classes that a list's label names: one, or for `codes` every known code of `B1-B2-0`.

        Raises:
            UserError: the label names a class that is not in the card.
        """
        index = {name: i for i, c in enumerate(self.classes) for name in (c.name, *c.aliases)}
        words = [label] if self.label_syntax == "class" else [w for w in label.split("-") if w != "0"]
        unknown = [word for word in words if word not in index]
        if unknown or not words:
            raise UserError(
                f"label {label!r} is not in the card of {self.name}; expected one of {', '.join(self.class_names)}"
            )
        return tuple(sorted({index[word] for word in words}))


def read_card(path: Path) -> DatasetCard:
    """Read a dataset card.

    Raises:
        UserError: the file is missing, not YAML, or fields are wrong; the text names all of them.
    """
    try:
        card = _understood(composed(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error, DatasetCard)}") from error
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such dataset card") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # ValueError: no UTF-8, or no such date
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a readable YAML file ({reason})") from error
    if card is None:
        raise UserError(f"{path}: no dataset card; expected fields such as name, classes, splits and features")
    return card


# Looking for a card by its name reads them all, several times in a command.
@functools.lru_cache(64)
def _understood(text: str) -> DatasetCard | None:
    # Not the faster loader in C: deep brackets end the process in it.
    content = yaml.safe_load(text)
    return DatasetCard.model_validate(content) if isinstance(content, dict) else None


def _settled(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    return {key: _settled(value) for key, value in content.items() if value or key not in _LATER}
