"""Harder questions to a trained run without training again: on other data sets, causally, with a disturbed test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from harness.data.bank import Bank
from harness.data.card import DatasetCard
from harness.data.cards import find_card, open_bank
from harness.data.class_maps import protocol_between
from harness.errors import UserError
from harness.runs.order import Order


def retests(
    order: Order, banks: Sequence[tuple[str, Bank]], causal: bool, disturbances: Sequence[str] = ()
) -> Iterator[Order]:
    """Yield the orders that test what `order` trains: on each of `banks` (with where its card is), and its own set.

    Each test set is tested as it is and with each of `disturbances` in place of the training's own, with `causal` also
    causally; only the order's own test is not repeated.
    """
    places: list[tuple[str, Bank | None]] = [(order.dataset, None), *banks]
    own = order.spec.disturbance
    for place, bank in places:
        for disturbance, reading in itertools.product((own, *disturbances), ("", "causal")[: 1 + causal]):
            changed: dict[str, Any] = {"source": order.spec.identity, "reading": reading, "disturbance": disturbance}
            if bank is None and (disturbance, reading) == (own, ""):
                continue
            if bank is not None:
                card, name = bank.card, bank.features_name
                changed |= {
                    "trained_on": order.spec.dataset,
                    "dataset": card.name,
                    "dataset_hash": card.digest,
                    "features": name,
                    "feature_hash": bank.content_hash,
                    "scale": card.features[name].scale,
                    "protocol": protocol_between(find_card(order.dataset), card, name),
                    "partial": bank.partial,
                }
            yield replace(order, spec=order.spec.model_copy(update=changed), dataset=place, source=order)


def matching_bank(trained: Bank, tested: str) -> Bank:
    """Return the bank of the data set `tested` whose features were made as those of `trained`.

    Where it is not known how either were made, feature sets of one name and width are taken to be the same.

    Raises:
        UserError: the data set has no such features, or they are not imported.
    """
    card, name = find_card(tested), trained.features_name
    own = trained.card.features[name]
    fits = [each for each, spec in card.features.items() if _same(trained.card, name, card, each)]
    if not fits:
        made = own.extraction.words if own.extraction else f"{name}, {own.dim}-d"
        there = ", ".join(f"{each} ({spec.dim}-d)" for each, spec in card.features.items()) or "none"
        raise UserError(
            f"--test {card.name}: has no features made as those of the training, {trained.card.name}/{name} ({made}); "
            f"it has {there}"
        )
    return open_bank(card, fits[0])


def _same(trained: DatasetCard, features: str, tested: DatasetCard, other: str) -> bool:
    one, two = trained.features[features], tested.features[other]
    if one.extraction is None or two.extraction is None:
        unknown = one.extraction is None and two.extraction is None
        return unknown and features == other and (one.dim, one.scale) == (two.dim, two.scale)
    return one.extraction.digest == two.extraction.digest
