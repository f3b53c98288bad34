"""How a run ends, on the side that started it: scored and published, or failed.

A failure is the run's alone, whatever its method raised. Whether nothing at all can be stored, which ends the command,
this side sees for itself.
"""

from __future__ import annotations

from harness.conclude import Grounds, Say, conclude
from harness.errors import Unwritable
from harness.execute import SPARE, Computed
from harness.executors import Ended, Unable
from harness.executors.perform import Failure, broken, failed
from harness.files import check_room
from harness.order import Order


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
