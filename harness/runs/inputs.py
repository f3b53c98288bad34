"""What the runs of a plan stand on, looked at before the first of them starts."""

from __future__ import annotations

from collections.abc import Iterable

from harness.data.cards import find_card, open_bank
from harness.records.run_directory import RECORD, open_run
from harness.runs.order import Order


def check_inputs(orders: Iterable[Order], full: bool = False) -> None:
    """Raise UserError unless the banks are what was imported and finished runs what was computed.

    Banks are sealed here, so that workers need not hash them again. With `full` they are hashed despite their seal, and
    so is every file of a finished run.
    """
    orders = tuple(orders)
    for dataset, features in dict.fromkeys((order.dataset, order.spec.features) for order in orders):
        open_bank(find_card(dataset), features).check(full)
    for order in orders:
        if not order.fresh and (order.directory / RECORD).exists():
            run = open_run(order.directory)
            if full:
                run.check()
