"""Models of Hugging Face's hub: whether it can be reached, and whether its cache holds what was downloaded."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.errors import Damaged, UserError
from harness.io import seals

_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def is_hub_id(text: str) -> bool:
    """Whether a model may have this name on the hub, such as `openai/clip-vit-base-patch16`."""
    return _ID.fullmatch(text) is not None


def check_reachable(what: str, hub_id: str, revision: str | None) -> None:
    """Raise UserError, which begins with `what`, unless the hub knows the model: one short request.

    The loaders themselves retry for half a minute without a network.
    """
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(hub_id, revision=revision, timeout=5)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"{what}: no such directory, not in the local cache, and the hub gave none ({reason}); "
            "give a directory saved by save_pretrained, or go online"
        ) from error


def check_cached(what: str, hub_id: str, revision: str, names: Iterable[str]) -> None:
    """Raise Damaged, which begins with `what`, unless cached files are what their names say, which are their hashes.

    Checked are the files `names` that are there and all safetensors. A cache that keeps plain files rather than links
    to hashed ones says nothing, and is taken as it is.
    """
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(hub_id, "config.json", revision=revision)
    if not isinstance(config, str):
        return
    directory = Path(config).parent
    there = [directory / name for name in names if (directory / name).is_file()]
    for path in (*there, *sorted(directory.glob("*.safetensors"))):
        name = Path(os.path.realpath(path)).name
        if path.is_symlink() and not _is(path, name):
            again = f"remove {directory.parent.parent}, and it is downloaded again"
            raise Damaged(f"{what}: {path} is not what was downloaded; {again}")


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep transformers from printing reports and bars meanwhile."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _is(path: Path, name: str) -> bool:
    if re.fullmatch(r"[0-9a-f]{64}", name):  # large files go by their SHA-256
        return seals.holds(path, name)
    if re.fullmatch(r"[0-9a-f]{40}", name):  # small ones by the hash that git gives them
        content = path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == name
    return True
