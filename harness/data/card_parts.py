"""The parts of a dataset card: classes, splits, annotations, feature sets, protocols."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from harness.names import CARD_NAMES, is_card_name
from harness.printable import shortened
from harness.records.extraction import Recipe

Positive = Annotated[int, Field(ge=1)]


def _checked(name: str) -> str:
    if not is_card_name(name):
        text = "expected {names}; got {name}"
        raise PydanticCustomError("name", text, {"names": CARD_NAMES, "name": shortened(repr(name))})
    return name


# Names become directories.
Name = Annotated[str, AfterValidator(_checked)]
Interval = Literal["half-open", "one-based", "closed"]
FrameRule = Literal["exact", "snippets", "padded", "whole"]


class Part(BaseModel):
    """Frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ClassCard(Part):
    """One class: the label word or code of the lists, its prompt for text methods, other spellings."""

    name: str
    prompt: str
    aliases: tuple[str, ...] = ()


class SplitCard(Part):
    """One split: its list file and what must be in it. `classes` counts videos that carry a class."""

    list: str
    videos: int
    classes: dict[str, int] = {}


class AnnotationCard(Part):
    """Temporal annotations.

    `ucf`: `video [frames] class s1 e1 s2 e2`, the class by name or by number; `xd`: `video [code] s e [code] s e ...`;
    `msad`: a csv with name, total frames, starting and ending frame of anomaly; `frame-masks`: a directory with one 0/1
    vector `<video>.npy` per abnormal video. `interval`: "half-open" reads s, e as [s, e), "one-based" as [s-1, e) and
    "closed" as [s, e+1), frames.
    """

    format: Literal["ucf", "xd", "msad", "frame-masks"]
    path: str
    interval: Interval = "half-open"


class GlanceCard(Part):
    """Glances of the training videos: a csv file with the header `video-id,glance` and a row for every click.

    A click is a frame of the video, counted from 0. Without the file the data set is imported without glances.
    """

    path: str


class FeatureCard(Part):
    """One feature set. `scale` multiplies every feature when it is read; `crop_suffix`: names end in `__k`.

    `text_aligned`: the features share an embedding space with a CLIP text tower. `lists`: list files of this set, the
    first that is there counts, in place of the splits' own. `names`: expression for a file's name without extension,
    with the groups `video` and perhaps `crop`, where `__k` is not its form. `stacked`: a file holds all crops,
    `[T, crops, D]`. `text`: files are text, one snippet a line. `audio`: what follows the video in the name of its
    audio features `[T, audio_dim]`, which are joined behind the visual ones to make up `dim`. `extraction` says how
    features were made that were extracted here.
    """

    dim: Positive
    dtype: Literal["float16", "float32"] = "float32"
    crops: Positive = 1
    crop_suffix: bool = False
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    text_aligned: bool = False
    generated: bool = False
    lists: dict[Literal["train", "test"], tuple[str, ...]] = {}
    names: str = ""
    stacked: bool = False
    text: bool = False
    audio: str = ""
    audio_dim: Annotated[int, Field(ge=0)] = 0
    extraction: Recipe | None = None
    description: str = ""

    @field_validator("names")
    @classmethod
    def _names_a_video(cls, value: str) -> str:
        if value and "video" not in expression(value).groupindex:
            raise ValueError("the expression has no group (?P<video>...)")
        return value

    @property
    def file_dim(self) -> int:
        """Width of the visual features in a file."""
        return self.dim - self.audio_dim

    @property
    def extension(self) -> str:
        """How the names of the feature files end."""
        return ".txt" if self.text else ".npy"


class VariantCard(Part):
    """Another reading of the same annotations, by which some papers score; see `ProtocolCard.rule`.

    `annotations` names another annotation file, `interval` another reading of its bounds; unset, the card's own count.
    `frames` and `positives` are expected counts, as in `ProtocolCard`.
    """

    rule: FrameRule
    annotations: str = ""
    interval: Interval | None = None
    frames: int = 0
    positives: int = 0
    notes: str = ""


class ProtocolCard(Part):
    """How results are computed. `frames`: expected test frames (0: not stated); `positives`: expected positive ones.

    `map` names the field's mAP@IoU variant. In `xd` a normal video is one ground-truth segment of class normal; in
    `ucf` it is none, although the normal class stays in the mean.

    `rule` says how many frames a test video has: "exact" as counted, so that the last snippet may be a part; "padded"
    counted and rounded up to whole snippets; "whole" counted and rounded down; "snippets" as many as its features
    stand for. Unset: exact where the card knows frame counts, else snippets. `variants` are other protocols, by name.
    """

    primary: Literal["frame_auc", "frame_ap"] = "frame_auc"
    map: Literal["ucf", "xd"] = "ucf"
    frames: int = 0
    positives: int = 0
    rule: FrameRule | None = None
    variants: dict[Name, VariantCard] = {}
    notes: str = ""


def expression(text: str) -> re.Pattern[str]:
    """Return a compiled regular expression; raises ValueError with the reason where it is none."""
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from error
