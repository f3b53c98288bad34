"""The contract of a method.

A method is one file: a `MethodCard`, a typed `MethodConfig`, and a `Method` (a torch module). It sees features
and video-level labels, of the track "glance" also clicks, never files, MLflow, frame labels or the test set. Register
it through the entry-point group `harness.methods`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from harness.errors import Unsupported
from harness.plugin.card import MethodCard as MethodCard
from harness.plugin.config import MethodConfig as MethodConfig

if TYPE_CHECKING:
    from harness.text.tower import TextTower


@dataclass(frozen=True)
class Task:
    """What a method may know about a data set: class names (normal first), prompts, width D, text tower.

    The last `audio_dim` of the D channels are of the sound. `glances`: its training videos come with clicks.
    """

    dataset: str
    classes: tuple[str, ...]
    prompts: tuple[str, ...]
    dim: int
    text: TextTower | None = None
    audio_dim: int = 0
    glances: bool = False


@dataclass(frozen=True)
class Batch:
    """Training videos brought to one length.

    features `[B, T, D]` float32, zero beyond `lengths` `[B]` (valid snippets); labels `[B, K]` multi-hot, column 0
    is normal. In pairs sampling the first `normal` rows are normal videos and the rest abnormal ones.
    Where `Sampling.crops` is "together", a video is `crops` adjacent rows, and all counts are rows.
    `clicks` `[B, T]` float is 1 where an annotator clicked on an event, for methods of the track "glance" alone.
    `host_lengths` are `lengths` that stayed on the CPU when the batch went to another device.
    """

    features: Tensor
    lengths: Tensor
    labels: Tensor
    normal: int = 0
    crops: int = 1
    clicks: Tensor | None = None
    host_lengths: Tensor | None = None

    @property
    def known_lengths(self) -> Tensor | None:
        """`lengths` on the CPU, where reading them waits for no device; None where they are not there.

        None also in a compiled step, which needs the same shapes in every batch.
        """
        if torch.compiler.is_compiling():
            return None
        on_host = self.host_lengths is None and self.lengths.device.type == "cpu"
        return self.lengths if on_host else self.host_lengths

    @property
    def longest(self) -> int:
        """Snippets of the longest video."""
        return int((self.lengths if self.host_lengths is None else self.host_lengths).max())

    @property
    def abnormal(self) -> Tensor:
        """1 for an abnormal video, 0 for a normal one, `[B]` float."""
        return 1.0 - self.labels[:, 0]


@dataclass(frozen=True)
class Prediction:
    """Snippet anomaly scores `[B, T]` and class probabilities `[B, T, K]` (column 0 normal) or None."""

    scores: Tensor
    class_probs: Tensor | None = None


@dataclass(frozen=True)
class Sampling:
    """How training batches are drawn.

    `pairs`: `batch` normal videos followed by `batch` abnormal ones; `mixed`: `batch` videos of any label.
    `length`: snippets T of a training video. `fit`: "pool" brings every video to T segment means; "pool-or-pad" and
    "pick-or-pad" zero-pad shorter videos, and bring longer ones to T means or T evenly spaced rows; "stretches" takes
    T / `stretch` evenly spread stretches of `stretch` consecutive rows, each from a random start, wrapping around at
    the video's end.
    `crops`: "apart" makes every crop a training item of its own; "together" draws videos with all their crops.
    `restart`: "epoch" reshuffles each list every epoch; "exhausted" reshuffles a list when it has been used up;
    "step" draws every batch from a fresh shuffle; "never" keeps the order of the list. `steps_per_epoch` None is one
    pass over the `epoch` list, the shorter or the longer one. A batch larger than its list takes the whole list.
    """

    mode: Literal["pairs", "mixed"]
    batch: int
    length: int
    epochs: int
    fit: Literal["pool", "pool-or-pad", "pick-or-pad", "stretches"] = "pool"
    restart: Literal["epoch", "exhausted", "step", "never"] = "epoch"
    steps_per_epoch: int | None = None
    drop_last: bool = True
    crops: Literal["apart", "together"] = "apart"
    epoch: Literal["shorter", "longer"] = "shorter"
    stretch: int = 1


@dataclass(frozen=True)
class Reading:
    """How a test video is read: whole (`window` None) or in consecutive zero-padded windows of `window` snippets.

    `online`: no score depends on a later snippet, so that the scores of a video are those of its recording.
    """

    window: int | None = None
    online: bool = False

    @property
    def kind(self) -> str:
        """What a score may depend on: snippets until then ("online"), those of its "window", or the "whole" video."""
        return "online" if self.online else "window" if self.window else "whole"


@dataclass(frozen=True)
class Looks:
    """After which steps (from 1) the official code evaluates: first, first + every, ...

    Steps count from the start of each epoch, or of the `training`. `every` None, or an epoch (training) shorter than
    `first`, means once at the end of each epoch. In the first `skip` epochs it does not evaluate.
    """

    every: int | None = None
    first: int = 0
    over: Literal["epoch", "training"] = "epoch"
    skip: int = 0


@dataclass(frozen=True)
class TrainingPlan:
    """The length of a training: epochs, steps per epoch, and batches per list (normal, abnormal) or (all,)."""

    epochs: int
    steps_per_epoch: int
    list_batches: tuple[int, ...]


@dataclass(frozen=True)
class Schedule:
    """One optimizer with its learning-rate schedule, stepped per step or per epoch (after the optimizer).

    Schedules that go by epochs are stepped in order, before the weights of an epoch's end are looked at: one may also
    change weights once per epoch.
    `clip_norm` bounds the L2 norm of all gradients of the optimizer before each step.
    """

    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None
    interval: Literal["step", "epoch"] = "epoch"
    clip_norm: float | None = None


@dataclass(frozen=True)
class TrainingVideo:
    """One training video at full length: features `[T, D]` float32 and multi-hot labels `[K]`."""

    features: Tensor
    labels: Tensor


class Method(nn.Module):
    """Base class. A subclass sets the class attributes and implements what its kind of training needs.

    `defaults` holds per-dataset settings by the card's family name, `presets` named schedules ("paper", "fast");
    both are data that `configure` lays over the config's own defaults. `ablations` maps a part of the paper to the
    settings that switch it off. `unused_official` holds regular expressions for keys of official checkpoints that the
    method has no use for.
    """

    card: ClassVar[MethodCard]
    Config: ClassVar[type[MethodConfig]] = MethodConfig
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    unused_official: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: Any, task: Task) -> None:
        """Build the module. Random initialisation may use torch's global generator, which the caller seeds."""
        super().__init__()
        self.config = config
        self.task = task

    @classmethod
    def configure(cls, family: str, preset: str, overrides: Mapping[str, Any]) -> MethodConfig:
        """Return the config: own defaults, then those of the data set, then the preset, then `overrides`."""
        return cls.Config(**{**cls.defaults.get(family, {}), **cls.presets.get(preset, {}), **overrides})

    @classmethod
    def check(cls, task: Task) -> None:
        """Raise `Unsupported` in one line if this method cannot run on the task."""
        dims = cls.card.feature_dims
        if dims and task.dim not in dims:
            wanted = " or ".join(f"{dim}-d" for dim in dims)
            raise Unsupported(f"{cls.card.name} needs {wanted} features; {task.dataset} has {task.dim}-d")
        if cls.card.needs_text and task.text is None:
            raise Unsupported(f"{cls.card.name} needs a text tower; {task.dataset} is run without one")
        if cls.card.track == "audio-visual" and not task.audio_dim:
            raise Unsupported(
                f"{cls.card.name} needs features of sound beside those of pictures; {task.dataset} is run without them"
            )
        if cls.card.track == "glance" and not task.glances:
            raise Unsupported(
                f"{cls.card.name} needs glances, clicked frames of abnormal training videos; {task.dataset} has none"
                " (`glances: {path: FILE.csv}` in its card names a file with the header video-id,glance under --root; "
                "import the set again then)"
            )

    def sampling(self) -> Sampling:
        """How training batches are drawn (gradient training only)."""
        raise self._lacks("sampling")

    def reading(self) -> Reading:
        """How a test video is read."""
        return Reading()

    def looks(self) -> Looks:
        """How often the official code evaluates during training; used by the rules `oracle`, `val` and `paper`."""
        return Looks()

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """Optimizers with their learning-rate schedules (gradient training only)."""
        raise self._lacks("schedules")

    def prepare(self, videos: Iterable[TrainingVideo]) -> None:
        """Take statistics of the training videos before the first step; keep them in buffers (gradient training)."""

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named loss terms, weights already applied; their sum is the loss (gradient training only)."""
        raise self._lacks("training_loss")

    def fit(self, videos: Iterable[TrainingVideo]) -> None:
        """Set the parameters from one pass over all training videos (closed-form training only)."""
        raise self._lacks("fit")

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Score videos or windows: features `[B, T, D]`, zero beyond `lengths` `[B]`; rows beyond are ignored."""
        raise self._lacks("predict")

    def _lacks(self, function: str) -> NotImplementedError:
        asked = f"training={self.card.training!r} on its card asks for"
        return NotImplementedError(f"{self.card.name} has no {function}(), which {asked}")

    @classmethod
    def official_audio_dim(cls, state: Mapping[str, Tensor]) -> int:
        """Return how many of the D channels that an official checkpoint reads are of the sound."""
        return 0

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Return the feature width D and the config values that the shapes of an official checkpoint tell.

        Raises:
            Unsupported: the method has no official checkpoints.
            KeyError: a parameter that tells a size is missing.
        """
        raise Unsupported(f"{cls.card.name} has no official checkpoints")

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Translate an official checkpoint's state dict to this module's own names; unused keys are left out.

        Works key by key: the name of one entry does not depend on the others.
        """
        return dict(state)

    def saved_state(self) -> dict[str, Tensor]:
        """State dict without the frozen text tower, which a run records by name."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("text.")}

    def load_saved_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what `saved_state` returned; raises RuntimeError that lists missing or unexpected keys."""
        own = self.state_dict()
        frozen = {k: v for k, v in own.items() if k.startswith("text.")}
        self.load_state_dict({**frozen, **state})


@dataclass(frozen=True)
class Size:
    """Parameter counts of a module without its frozen text tower."""

    trainable: int
    total: int

    @classmethod
    def of(cls, method: Method) -> Size:
        """Count the parameters of `method`."""
        own = [p for name, p in method.named_parameters() if not name.startswith("text.")]
        return cls(sum(p.numel() for p in own if p.requires_grad), sum(p.numel() for p in own))
