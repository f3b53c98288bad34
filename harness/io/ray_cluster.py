"""Joining a Ray cluster, or starting one on this machine."""

from __future__ import annotations

from typing import Any

from harness.errors import UserError


def connect(address: str | None) -> Any:
    """Return the module `ray`, joined to the cluster at `address`, or to a new one on this machine (None).

    Raises:
        UserError: Ray is not installed, or there is no such cluster.
    """
    try:
        import ray
    except ImportError as error:
        raise UserError("--executor ray: Ray is not installed; pip install 'harness-wsvad[ray]'") from error
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
    if address is None:
        options["include_dashboard"] = False
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"--ray-address {address}: cannot be reached ({reason})") from error
    return ray
