"""The `demo` data set: UCF-Crime-like features drawn from a fixed seed, in seconds.

Like CLIP features of surveillance video: all snippets share a direction; every video stays in one of a few scenes
and drifts there; normal videos have unusual but harmless moments; an event takes the place of what is normal and adds
its class's direction (from the seeded text tower, mixed with that of similar classes) with a salience, length and ramp
of its own. What the methods look for is there and can be learned in a minute: few normal modes, events apart from
them, texts that fit. A set so hard that a short training ends anywhere would show rounding instead of the pipeline.
The sets `demo-b` and `demo-c` are other places: some of their classes look as in `demo`, others are their own.
A feature set with sound has the same pictures, and behind them what is heard (`harness.data.synthetic_sound`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.bank import FORMAT, SPLITS, Bank, Item, SplitName, bank_path
from harness.data.bank_writer import BankWriter
from harness.data.card import DatasetCard, read_card
from harness.data.synthetic_sound import Sound
from harness.io.atomic import replacing_directory
from harness.io.digests import digest, file_digest
from harness.paths import cards_dir
from harness.records.truth import Event, GroundTruth, VideoTruth
from harness.text.loading import load_text_tower

SEED = 20251113
SCENES = 6
HARMLESS = 8
# Classes that look alike: an event takes a part of its direction from its group.
SIMILAR = (
    ("Abuse", "Assault", "Fighting", "Arrest"),
    ("Robbery", "Stealing", "Shoplifting", "Burglary"),
    ("Arson", "Explosion"),
    ("Vandalism", "Burglary"),
    ("Shooting", "Robbery", "Explosion"),
)
ABNORMAL_PER_CLASS = {"train": 6, "test": 3}
HOME = "demo"

Array = NDArray[np.float64]
# Name, labels, features [T, D], frames, events.
_Video = tuple[str, tuple[int, ...], NDArray[np.float16], int, tuple[Event, ...]]


def generate(card: DatasetCard, name: str) -> Bank:
    """Return the bank of a generated feature set, writing it first unless it is there, of this card and this code."""
    spec = card.features[name]
    path = bank_path(card.name, name)
    here = Path(__file__)
    code = digest(*(file_digest(file) for file in (here, here.with_name("synthetic_sound.py"))))
    origin = f"synthetic, seed {SEED}, {spec.dim}-d, generator {code[:8]}"
    again = f"remove the directory {path}, and the next command makes the set again"
    if (path / "bank.json").exists():
        bank = Bank(path, again=again)
        if (bank.info["card_hash"], bank.info["origin"], bank.info["format"]) == (card.digest_of(name), origin, FORMAT):
            return bank
    truth: dict[str, VideoTruth] = {}
    glances: dict[str, tuple[int, ...]] = {}
    with replacing_directory(path) as directory, BankWriter(directory, card, name) as writer:
        world = _world(card)  # after the directory, which may be one that cannot be
        sound = Sound(len(card.classes), spec.audio_dim, SEED) if spec.audio_dim else None
        for split in SPLITS:
            for video, labels, features, frames, events in world.videos(split):
                if sound is not None:
                    rows = sound.rows(video, len(features), events, card.alignment.stride)
                    features = np.concatenate([features, rows], axis=1)
                writer.add(split, Item(video, 0, len(features), labels if split == "train" else ()), features)
                if split == "test":
                    truth[video] = VideoTruth(frames, labels, events)
                elif events:
                    glances[video] = _glances(video, events)
        ground = GroundTruth(
            card.name, card.class_names, card.alignment, truth, card.protocol.primary, card.protocol.map
        )
        writer.finish(ground, {}, origin, glances=glances)
    bank = Bank(path, again=again)
    bank.seal()
    return bank


def _glances(video: str, events: tuple[Event, ...]) -> tuple[int, ...]:
    """A random frame of each event, from a generator that the features do not draw from."""
    rng = np.random.default_rng([SEED, 2, *video.encode()])
    return tuple(sorted({int(rng.integers(event.start, event.end)) for event in events}))


def _world(card: DatasetCard) -> _World:
    if card.name == HOME:
        return _World(card)
    return _Elsewhere(card, _World(read_card(cards_dir() / f"{HOME}.yaml")))


class _World:
    """Everything the videos share: directions of classes, scenes and harmless moments."""

    def __init__(self, card: DatasetCard) -> None:
        self.card, self.seed = card, [SEED]
        text = _texts(card)
        self.common = _unit(text.mean(axis=0))
        own = _unit(text - text.mean(axis=0))
        index = {name: i for i, name in enumerate(card.class_names)}
        rng = np.random.default_rng(SEED)
        dim = text.shape[1]
        # What an event looks like: a commotion that all share, its group's look, the word's direction, its own rest.
        self.commotion = commotion = _unit(rng.standard_normal(dim))
        looks = 0.4 * commotion + 0.5 * own + 0.3 * _unit(rng.standard_normal(own.shape))
        for group in SIMILAR:
            looks[[index[name] for name in group]] += 0.35 * _unit(rng.standard_normal(dim))
        self.normal = own[0]
        self.looks = _unit(looks)
        self.scenes = _unit(rng.standard_normal((SCENES, dim)))
        # Harmless moments resemble some class a little, or share a part of the commotion.
        self.harmless = _unit(
            _unit(rng.standard_normal((HARMLESS, dim)))
            + 0.4 * self.looks[rng.integers(1, len(self.looks), HARMLESS)]
            + 0.3 * commotion
        )

    def videos(self, split: SplitName) -> Iterator[_Video]:
        """Yield (name, labels, features [T, D], frames, events) of every video of a split."""
        for label, class_name in enumerate(self.card.class_names):
            count = ABNORMAL_PER_CLASS[split]
            if not label:
                count = self.card.splits[split].videos - count * (len(self.card.classes) - 1)
            for number in range(count):
                rng = np.random.default_rng([*self.seed, 0 if split == "train" else 1, label, number])
                features, frames, events = self._video(rng, label)
                yield f"{class_name}{number:03d}_{split}", (label,), features, frames, events

    def _video(self, rng: np.random.Generator, label: int) -> tuple[NDArray[np.float16], int, tuple[Event, ...]]:
        length = int(np.clip(rng.lognormal(np.log(60), 0.6), 16, 240))
        frames = 16 * length - int(rng.integers(0, 16))
        signal = self._scene(rng, length)
        for _ in range(int(rng.poisson(1.2))):
            ramp = _ramp(rng, length, rng.uniform(0.03, 0.25))
            signal += rng.uniform(0.2, 0.6) * ramp[:, None] * self.harmless[rng.integers(HARMLESS)]
        events: list[Event] = []
        normal = np.ones((length, 1))
        if label:
            for _ in range(1 + int(rng.random() < 0.2)):
                ramp = _ramp(rng, length, rng.uniform(0.05, 0.5))
                signal += rng.uniform(0.3, 0.9) * ramp[:, None] * self.looks[label]
                normal *= 1 - ramp[:, None]
                inside = np.flatnonzero(ramp > 0)
                # Annotators cut events at frames, not at snippets, and generously: before and after nothing shows.
                margin = 16 * max(1, round(0.06 * len(inside)))
                start = max(0, 16 * int(inside[0]) + int(rng.integers(0, 16)) - margin)
                end = min(frames, 16 * (int(inside[-1]) + 1) - int(rng.integers(0, 8)) + margin)
                events.append(Event(start, max(end, start + 1), label))
        signal += 0.15 * normal * self.normal
        noise = rng.standard_normal((length, self.scenes.shape[1])) / np.sqrt(self.scenes.shape[1])
        features = _unit(0.4 * self.common + signal + 0.6 * noise).astype(np.float16)
        return features, frames, tuple(sorted(events, key=lambda event: event.start))

    def _scene(self, rng: np.random.Generator, length: int) -> Array:
        # Abnormal videos come from all scenes; the drift keeps neighbours alike.
        scene = self.scenes[rng.integers(SCENES)]
        drift = np.cumsum(rng.standard_normal((length, 4)) * 0.06, axis=0)
        directions = _unit(rng.standard_normal((4, self.scenes.shape[1])))
        path: Array = 0.5 * scene + drift @ directions
        return path


class _Elsewhere(_World):
    """Another place: other scenes, harmless moments and idea of normal; classes that the demo set has look as there."""

    def __init__(self, card: DatasetCard, home: _World) -> None:
        self.card, self.seed = card, [SEED, zlib.crc32(card.name.encode())]
        rng = np.random.default_rng(self.seed)
        own, dim = _texts(card), len(home.commotion)
        own = _unit(own - own.mean(axis=0))
        looks = 0.4 * home.commotion + 0.5 * own + 0.3 * _unit(rng.standard_normal(own.shape))
        for label, name in enumerate(card.class_names):
            if name in home.card.class_names:
                looks[label] = home.looks[home.card.class_names.index(name)]
        self.commotion, self.looks = home.commotion, _unit(looks)
        # Other cameras: a shift that all snippets share.
        self.common = _unit(home.common + 0.6 * _unit(rng.standard_normal(dim)))
        self.normal = _unit(home.normal + 0.6 * _unit(rng.standard_normal(dim)))
        self.scenes = _unit(rng.standard_normal((SCENES, dim)))
        self.harmless = _unit(
            _unit(rng.standard_normal((HARMLESS, dim)))
            + 0.4 * self.looks[rng.integers(1, len(self.looks), HARMLESS)]
            + 0.3 * self.commotion
        )


def _texts(card: DatasetCard) -> Array:
    """Return the seeded text tower's embeddings of a card's prompts, of unit norm `[K, D]`."""
    import torch

    with torch.no_grad():
        text = load_text_tower(None).encode(list(card.prompts)).double().numpy()
    # Rounded, so that the last bits of one machine's matrix products do not reach the data.
    rounded: Array = np.round(_unit(text), 3)
    return rounded


def _ramp(rng: np.random.Generator, length: int, fraction: float) -> Array:
    """Weights [T] of one moment: 0 outside, rising and falling inside."""
    size = max(2, round(fraction * length))
    start = int(rng.integers(0, length - size + 1))
    weights = np.zeros(length)
    weights[start : start + size] = np.minimum(1.0, 0.5 + np.minimum(np.arange(size), np.arange(size)[::-1]) / 4)
    return weights


def _unit(rows: Any) -> Array:
    unit: Array = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return unit
