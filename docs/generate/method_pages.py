"""A page for each of our methods: its card, settings, presets, published numbers and parity cases."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from generate import tables
from harness.check import CHECKS
from harness.data.cards import card_names, find_card
from harness.parity.case import kind_of
from harness.parity.record import fidelity, shipped_record
from harness.plugin.method import Method, MethodCard, MethodConfig
from harness.records.track import TRACKS
from harness.registry import is_ours, method_cards, method_class
from harness.report.figures import label, percent
from harness.report.leaderboard.published import published
from harness.report.site.citation import bibtex

_FAMILIES = {"clip": "uses CLIP", "mil": "multiple-instance learning", "floor": "floor: what learned methods must beat"}
_TRAINING = {
    "gradient": "by gradient",
    "closed-form": "in closed form, one pass",
    "none": "none",
    "inference-only": "never published; runs from official weights only",
}
_PROVES = {
    "eval": "outputs for given weights",
    "pool": "outputs for given weights",
    "loss": "loss terms and gradients",
    "optim": "optimizer and schedule",
    "train": "optimizer steps of a training",
}


def navigation() -> Iterator[tuple[str, str]]:
    """Yield title and path of each page."""
    for name, card in _cards():
        yield card.title, f"methods/{name}.md"


def pages() -> dict[str, str]:
    """Return every page by its path, with the list of all methods."""
    made = {f"methods/{name}.md": _page(method_class(name)) for name, _ in _cards()}
    return {"methods/index.md": _index(), **made}


def card_fields() -> str:
    """Return the fields of a method's card."""
    return tables.fields(MethodCard)


def config_fields() -> str:
    """Return the settings that every method has."""
    return tables.fields(MethodConfig)


def check_names() -> str:
    """Return the names of the shared check's points."""
    return ", ".join(f"`{name}`" for name in CHECKS)


def _cards() -> list[tuple[str, Any]]:
    order = list(_FAMILIES)
    ours = [(name, card) for name, card in method_cards().items() if is_ours(name)]
    return sorted(ours, key=lambda item: (order.index(item[1].family), item[1].title.lower()))


def _index() -> str:
    rows = []
    for name, card in _cards():
        words = f"`{name}`" + "".join(f", `{alias}`" for alias in card.aliases)
        venue = f"{card.venue} {card.year or ''}".strip()
        rows.append((f"[{card.title}]({name}.md)", words, card.family, venue, fidelity(method_class(name))))
    text = (
        "# Methods\n\nEach method is one file. Those of papers are written from a specification of the official code "
        "and proven equal to it on [parity cases](../parity.md). `--methods` takes names, aliases and the families "
        "`clip`, `mil` and `floor`, or `all`. These pages are made from the methods themselves.\n\n"
    )
    return text + tables.table(("method", "name", "family", "published", "parity cases passed"), rows) + "\n"


def _page(cls: type[Method]) -> str:
    card = cls.card
    parts = [f"# {card.title}", tables.prose(cls.__doc__), _facts(cls), _settings(cls)]
    parts += [_named("Presets", "preset", cls.presets), _named("Settings by data set", "data set", cls.defaults)]
    parts += [_named("Ablations", "without", cls.ablations), _numbers(cls), _parity(cls)]
    if entry := bibtex(card):
        parts.append(f"## Cite\n\nFrom the card; add the authors from the paper.\n\n```bibtex\n{entry}\n```")
    return "\n\n".join(filter(None, parts)) + "\n"


def _facts(cls: type[Method]) -> str:
    card = cls.card
    arxiv = f"[arXiv {card.arxiv}](https://arxiv.org/abs/{card.arxiv})" if card.arxiv else ""
    paper = ", ".join(filter(None, [card.paper, f"{card.venue} {card.year or ''}".strip(), arxiv]))
    facts = {
        "Name": ", ".join(f"`{word}`" for word in (card.name, *card.aliases)),
        "Family": f"`{card.family}`, {_FAMILIES[card.family]}",
        "Track": f"`{card.track}`: {TRACKS[card.track]}",
        "Paper": paper,
        "Official code": f"`{card.source}`" if card.source else "",
        "Training": _TRAINING[card.training],
        "Text tower": "needed" if card.needs_text else "not needed",
        "Feature width": " or ".join(map(str, card.feature_dims)) or "any",
        "Input scale": card.input_scale,
        "Parameters": f"{card.parameters:,} at the official size" if card.parameters else "",
        "Scores": "in [0, 1]" if card.bounded else "not bounded",
    }
    run = f"```sh\nharness run --methods {card.name} --seeds 0,1,2\n```"
    return tables.table(("", ""), [(name, text) for name, text in facts.items() if text]) + "\n\n" + run


def _settings(cls: type[Method]) -> str:
    rows = []
    for name, field in cls.Config.model_fields.items():
        allowed = cls.Config.ranges.get(name)
        words = tables.type_words(field.rebuild_annotation()) + (f", {allowed}" if allowed else "")
        rows.append((f"`{name}`", words, tables.default(field)))
    text = tables.prose(cls.Config.__doc__)
    change = f"Change one with `--set {cls.card.name}.key=value`."
    return f"## Settings\n\n{text}\n\n{change}\n\n" + tables.table(("setting", "range", "default"), rows)


def _named(heading: str, head: str, sets: Mapping[str, Mapping[str, Any]]) -> str:
    """A section of settings by name; "" where there are none."""
    rows = [
        (f"`{name}`", ", ".join(f"`{key}={value!r}`" for key, value in settings.items()) or "the defaults")
        for name, settings in sets.items()
    ]
    return f"## {heading}\n\n" + tables.table((head, "settings"), rows) if rows else ""


def _numbers(cls: type[Method]) -> str:
    rows = []
    for dataset in card_names():
        card = find_card(dataset)
        found: dict[Any, str] = {}
        for features in card.features:
            for metric, number in published(cls.card.published_as, dataset, features).items():
                found[number] = metric
        for number, metric in found.items():
            source = ("unverified: " if number.doubtful else "") + number.source
            rows.append((card.title, label(metric), percent(number.value), number.feature or "not stated", source))
    text = "Numbers of papers, with where they were found. They stand beside measured ones and rank nothing."
    heads = ("data set", "metric", "percent", "features", "source")
    return f"## Published numbers\n\n{text}\n\n{tables.table(heads, rows)}" if rows else ""


def _parity(cls: type[Method]) -> str:
    badge = fidelity(cls)
    if not badge:
        return ""
    record = json.loads(shipped_record().read_text(encoding="utf-8"))[cls.card.name]
    rows = []
    for name, case in record["cases"].items():
        worst = case["worst"]
        kind = case.get("kind") or kind_of(name)
        error = "not finite" if worst["error"] is None else f"{worst['error']:.1e}"
        verdict = "holds" if case["ok"] else "does not hold"
        found = f"`{worst['output']}` {error}"
        rows.append((f"`{name}`", _PROVES.get(kind, kind), verdict, found, f"{worst['tolerance']:g}"))
    heads = ("case", "what it compares", "outcome", "worst quantity, its error", "tolerance")
    text = f"{badge}, of the code in this version. [How parity is measured](../parity.md)."
    return f"## Parity\n\n{text}\n\n{tables.table(heads, rows)}"
