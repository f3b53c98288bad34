"""How a run ends, on the side that started it: scored and published, or failed.

A failure is the run's alone, whatever its method raised. Whether nothing at all can be stored, which ends the command,
this side sees for itself.
"""

from __future__ import annotations

from harness.errors import Unwritable
from harness.io.atomic import check_room
from harness.runs.executors import Ended, Unable
from harness.runs.executors.perform import Failure, broken, failed
from harness.runs.method_side import SPARE, Computed
from harness.runs.order import Order
from harness.runs.truth_side import Grounds, Say, conclude


def ended(order: Order, found: Computed | Failure, grounds: Grounds, say: Say) -> Ended | Unable:
    """Return the event that ends an order: its published result, a failed one, or that nothing can be written."""
    if not isinstance(found, Failure):
        try:
            return Ended(order.run, conclude(order, found, grounds, say))
        except Unwritable as error:
            return Unable(str(error))
        except Exception as error:  # what a method left may be anything
            found = broken(order, error)
    try:
        check_room(order.out, SPARE)
    except Unwritable as error:
        return Unable(str(error))
    return Ended(order.run, failed(order, found))
