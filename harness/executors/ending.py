"""How a run ends, on the side that started it: scored and published, or failed."""

from __future__ import annotations

from harness.conclude import Grounds, Say, conclude
from harness.errors import Unwritable
from harness.execute import Computed
from harness.executors import Ended, Unable
from harness.executors.perform import Failure, broken, failed
from harness.order import Order


def ended(order: Order, found: Computed | Failure, grounds: Grounds, say: Say) -> Ended | Unable:
    """Return the event that ends an order: its published result, a failed one, or that nothing can be written."""
    if isinstance(found, Failure):
        return Ended(order.run, failed(order, found))
    try:
        return Ended(order.run, conclude(order, found, grounds, say))
    except Unwritable as error:
        return Unable(str(error))
    except Exception as error:  # what a method left may be anything
        try:
            return Ended(order.run, failed(order, broken(order, error)))
        except Unwritable as full:
            return Unable(str(full))
