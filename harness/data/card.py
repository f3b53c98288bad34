"""Dataset cards: everything the harness knows about a data set, as one YAML file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from harness.alignment import Alignment
from harness.errors import UserError
from harness.files import digest

Positive = Annotated[int, Field(ge=1)]
# Names become folders below the user's data directory.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClassCard(_Part):
    """One class: the label word or code of the lists, its prompt for text methods, other spellings."""

    name: str
    prompt: str
    aliases: tuple[str, ...] = ()


class SplitCard(_Part):
    """One split: its list file and what must be in it. `classes` counts videos that carry a class."""

    list: str
    videos: int
    classes: dict[str, int] = {}


class AnnotationCard(_Part):
    """Temporal annotations.

    `ucf`: `video class s1 e1 s2 e2`; `xd`: `video [code] s e [code] s e ...`; `frame-masks`: a directory with one
    0/1 vector `<video>.npy` per abnormal video. `interval`: "half-open" reads s, e as [s, e) and "one-based" as
    [s-1, e), frames.
    """

    format: Literal["ucf", "xd", "frame-masks"]
    path: str
    interval: Literal["half-open", "one-based"] = "half-open"


class FeatureCard(_Part):
    """One feature set. `scale` multiplies every feature when it is read; `crop_suffix`: names end in `__k`.

    `text_aligned`: the features share an embedding space with a CLIP text tower.
    """

    dim: Positive
    dtype: Literal["float16", "float32"] = "float32"
    crops: Positive = 1
    crop_suffix: bool = False
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    text_aligned: bool = False
    generated: bool = False
    description: str = ""


class ProtocolCard(_Part):
    """How results are computed. `frames`: expected test frames (0: not stated); `positives`: expected positive ones.

    `map` names the field's mAP@IoU variant. In `xd` a normal video is one ground-truth segment of class normal; in
    `ucf` it is none, although the normal class stays in the mean.
    """

    primary: Literal["frame_auc", "frame_ap"] = "frame_auc"
    map: Literal["ucf", "xd"] = "ucf"
    frames: int = 0
    positives: int = 0
    notes: str = ""


class DatasetCard(_Part):
    """A data set. `family` names whose per-dataset method defaults apply; `preset` is the default preset."""

    name: Name
    title: str
    family: str = ""
    preset: str = "paper"
    classes: tuple[ClassCard, ...]
    label_syntax: Literal["class", "codes"] = "class"
    splits: dict[Literal["train", "test"], SplitCard]
    alignment: Alignment
    frame_counts: str = ""
    annotations: AnnotationCard | None = None
    features: dict[Name, FeatureCard]
    protocol: ProtocolCard = ProtocolCard()
    licence: str
    source: str
    notes: str = ""

    @field_validator("classes")
    @classmethod
    def _two_classes(cls, value: tuple[ClassCard, ...]) -> tuple[ClassCard, ...]:
        names = [name for c in value for name in (c.name, *c.aliases)]
        if len(value) < 2 or len(set(names)) != len(names):
            raise ValueError("at least two classes with distinct names are expected, the normal class first")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> DatasetCard:
        if set(self.splits) != {"train", "test"}:
            raise ValueError("splits must be exactly train and test")
        known = set(self.class_names)
        for split, card in self.splits.items():
            for name in sorted(set(card.classes) - known):
                raise ValueError(f"splits.{split}.classes names {name!r}, which is not a class of the card")
        if not self.features:
            raise ValueError("at least one feature set is expected")
        if self.alignment.stride < 1:
            raise ValueError(f"alignment.stride is {self.alignment.stride}, at least 1 is expected")
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
    def digest(self) -> str:
        """Hash of what can change a result: the card without its prose and without which preset is the default."""
        prose = {"title", "preset", "licence", "source", "notes"}
        content = self.model_dump(mode="json", exclude=prose)
        for part in (content["protocol"], *content["features"].values()):
            part.pop("notes", None)
            part.pop("description", None)
        return digest(json.dumps(content, sort_keys=True))

    def feature_set(self, name: str | None) -> tuple[str, FeatureCard]:
        """Return (name, card) of a feature set; None means the first.

        Raises:
            UserError: the card has no such feature set.
        """
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
        UserError: the file is missing, not YAML, or a field is wrong; the text names the field.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such dataset card") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # ValueError: no UTF-8, or no such date
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a readable YAML file ({reason})") from error
    try:
        return DatasetCard.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "card"
        raise UserError(f"{path}: field {where}: {first['msg']}") from error
