"""What benchmarks of methods run on: ours and the plain one with equal weights, training batches, a test set.

Full size is UCF-Crime's `paper` preset with a text tower of CLIP ViT-B/16's size and random weights. Where benchmarks
are disabled (the ordinary test suite) everything is small, and only the numbers are compared.
"""

from __future__ import annotations

import importlib
import pkgutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

import tests.benchmarks.plain
from harness.data.bank import Item, Split
from harness.data.card import DatasetCard
from harness.data.cards import find_card
from harness.plugin import Batch, Method, Schedule, Task, TrainingPlan, TrainingVideo
from harness.registry import method_class
from harness.text.openai import from_openai_state
from harness.text.tower import TextTower

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

DIM, NORM = 512, 10.0
# Snippets of UCF-Crime's training videos, at most 256: 16 evenly spaced quantiles. 41 % of the rows are padding.
LENGTHS = (25, 256, 42, 256, 56, 256, 67, 256, 80, 255, 97, 213, 113, 176, 128, 152)
# CLIP's token ids of the class names, without SOT and EOT; "." follows AnomalyCLIP's prompts.
WORDS = {
    **{"normal": [5967], "abuse": [7678], "arrest": [9320], "arson": [29937], "assault": [9679]},
    **{"burglary": [32573], "explosion": [13785], "fighting": [4652], "roadaccidents": [4370, 22072]},
    **{"robbery": [16393], "shooting": [3992], "shoplifting": [5738, 10857], "stealing": [14242]},
    **{"vandalism": [45664], ".": [269]},
}
SOT, EOT, CONTEXT, HEADS = 49406, 49407, 77, 8


@dataclass(frozen=True)
class Size:
    """Layers of the text tower, videos of each kind in a training batch, every n-th test video, rounds, settings."""

    layers: int
    videos: int
    every: int
    rounds: int
    # Of a method that has them, in place of its own.
    settings: tuple[tuple[str, int], ...] = ()


FULL, SMALL = Size(12, 8, 1, 3), Size(1, 2, 58, 1, (("visual_length", 64), ("text_adapt_until", 1)))


def size(benchmark: BenchmarkFixture) -> Size:
    """Full size where something is timed."""
    return FULL if benchmark.enabled else SMALL


def names() -> list[str]:
    """Names of the methods that have a plain counterpart."""
    modules = (module.name for module in pkgutil.iter_modules(tests.benchmarks.plain.__path__))
    return [name.replace("_", "-") for name in modules if not name.startswith("_")]


@cache
def card() -> DatasetCard:
    """UCF-Crime's card."""
    return find_card("ucf-crime")


def tokenize(prompt: str) -> list[int]:
    """Return the token ids of a class name, from SOT to EOT."""
    words = [prompt.lower().removesuffix("."), *["."] * prompt.endswith(".")]
    return [SOT, *(token for word in words for token in WORDS[word]), EOT]


@cache
def tower(layers: int) -> TextTower:
    """A text tower of ViT-B/16's widths with random weights, spread as CLIP initialises its own."""
    generator = torch.Generator().manual_seed(0)

    def drawn(spread: float, *shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * spread

    state = {
        "token_embedding.weight": drawn(0.02, EOT + 1, DIM),
        "positional_embedding": drawn(0.01, CONTEXT, DIM),
        "text_projection": drawn(DIM**-0.5, DIM, DIM),
        "ln_final.weight": torch.ones(DIM),
        "ln_final.bias": torch.zeros(DIM),
    }
    narrow, wide = DIM**-0.5, (2 * DIM) ** -0.5
    deep = narrow * (2 * layers) ** -0.5
    for layer in range(layers):
        at = f"transformer.resblocks.{layer}."
        for part, rows, columns, spread in (
            ("attn.in_proj_", 3 * DIM, DIM, narrow),
            ("attn.out_proj.", DIM, DIM, deep),
            ("mlp.c_fc.", 4 * DIM, DIM, wide),
            ("mlp.c_proj.", DIM, 4 * DIM, deep),
        ):
            state |= {f"{at}{part}weight": drawn(spread, rows, columns), f"{at}{part}bias": torch.zeros(rows)}
        for norm in ("ln_1", "ln_2"):
            state |= {f"{at}{norm}.weight": torch.ones(DIM), f"{at}{norm}.bias": torch.zeros(DIM)}
    return from_openai_state(state, HEADS, tokenize, f"random {layers} x {DIM}")


def both(name: str, size: Size, preset: str = "paper") -> tuple[Method, Method]:
    """Return the plain and our method of that name, with equal weights, as UCF-Crime's preset sets them."""
    ours_class = method_class(name)
    plain_class: type[Method] = importlib.import_module(f"tests.benchmarks.plain.{name.replace('-', '_')}").Plain
    settings = {key: value for key, value in size.settings if key in ours_class.Config.model_fields}
    config = ours_class.configure(card().settings_family, preset, settings)
    text = tower(size.layers) if ours_class.card.needs_text else None
    task = Task(card().name, card().class_names, card().prompts, DIM, text)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ours, plain = ours_class(config, task), plain_class(config, task)
        with torch.no_grad():
            # Gains of 1 tie all magnitudes (mil 4), gains of 0 switch blocks off (mil 2).
            for vector in (p for p in ours.parameters() if p.requires_grad and p.dim() == 1):
                vector.add_(torch.randn_like(vector), alpha=0.1)
    ours.prepare([TrainingVideo(torch.from_numpy(features(64)), labels) for labels in torch.eye(len(card().classes))])
    plain.load_state_dict(ours.state_dict())
    for weight in plain.parameters():
        # In torch's own order of memory, whatever ours is.
        weight.data = weight.data.contiguous()
    return plain, ours


def features(rows: int, seed: int = 0) -> np.ndarray:
    """Return made-up features `[rows, D]` of the norm that CLIP's have."""
    drawn = np.random.default_rng(seed).standard_normal((rows, DIM), dtype=np.float32)
    return drawn * np.float32(NORM / DIM**0.5)


def batch(method: Method, videos: int, full: bool) -> Batch:
    """Return a batch of `videos` normal and as many abnormal ones at the method's training length.

    Where the method pads short videos, lengths are those of UCF-Crime unless all are to be `full`.
    """
    sampling, count = method.sampling(), 2 * videos
    length = sampling.length
    short = "pad" in sampling.fit and not full
    drawn = (LENGTHS * (count // len(LENGTHS) + 1))[:count]
    lengths = torch.tensor(drawn).clamp(max=length) if short else torch.full((count,), length)
    x = torch.from_numpy(features(count * length)).unflatten(0, (count, length))
    x[torch.arange(length) >= lengths[:, None]] = 0
    kinds = torch.zeros(count, dtype=torch.long)
    kinds[videos:] = 1 + torch.arange(videos) % (len(card().classes) - 1)
    paired = sampling.mode == "pairs"
    if not paired:
        kinds = kinds[torch.arange(count).view(2, -1).T.flatten()]
    labels = torch.nn.functional.one_hot(kinds, len(card().classes)).float()
    return Batch(x, lengths, labels, normal=videos * paired)


def schedules(method: Method) -> list[Schedule]:
    """Return the method's optimizers, for a training of UCF-Crime's length."""
    sampling = method.sampling()
    lists = (800 // sampling.batch, 810 // sampling.batch)
    made = list(method.schedules(TrainingPlan(sampling.epochs, sampling.steps_per_epoch or min(lists), lists)))
    if type(method).__module__.startswith(tests.benchmarks.plain.__name__):
        for group in (group for each in made for group in each.optimizer.param_groups if "fused" in group):
            group["fused"] = None
    return made


def step(method: Method, optimizers: list[Schedule], drawn: Batch) -> dict[str, Tensor]:
    """One training step: loss, backward, optimizers; returns the loss terms."""
    terms = method.training_loss(drawn)
    for each in optimizers:
        each.optimizer.zero_grad(set_to_none=True)
    torch.stack([term.reshape(()) for term in terms.values()]).sum().backward()
    for each in optimizers:
        if each.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(
                [p for g in each.optimizer.param_groups for p in g["params"]], each.clip_norm
            )
        each.optimizer.step()
    return terms


def split(videos: dict[str, int]) -> Split:
    """Return a test split of made-up features for videos of so many snippets."""
    items = tuple(Item(name, 0, snippets) for name, snippets in videos.items())
    starts = np.cumsum([0, *videos.values()], dtype=np.int64)[:-1]
    return Split(items, starts, features(sum(videos.values())), 1.0, len(card().classes))


def compared(
    benchmark: BenchmarkFixture, plain: Callable[[], Any], ours: Callable[[], Any], rounds: int
) -> tuple[float, float]:
    """Return the median seconds of the plain computation and of ours, timed in turns after a round that warms up.

    There are at least `rounds` rounds, and up to 25 while ours needs less than two seconds for all of them.
    """
    slow = []
    start = time.perf_counter()
    ours()
    rounds = max(rounds, min(25, int(2 / (time.perf_counter() - start))))

    def before() -> None:
        start = time.perf_counter()
        plain()
        slow.append(time.perf_counter() - start)

    benchmark.pedantic(ours, setup=before, rounds=rounds, warmup_rounds=1)
    return statistics.median(slow[1:]), benchmark.stats.stats.median


def report(
    benchmark: BenchmarkFixture,
    say: Callable[[str], None],
    what: str,
    seconds: tuple[float, float],
    target: float | None,
) -> None:
    """Put how many times faster ours is than the plain computation into `extra_info` and the last lines of the run."""
    slow, fast = seconds
    benchmark.extra_info[what] = {"plain": slow, "ours": fast, "times_faster": slow / fast, "target": target}
    wanted = f" (target {target:g})" if target else ""
    say(f"{what}: {slow / fast:.2f} times faster, {fast:.3g} s instead of {slow:.3g} s{wanted}")
