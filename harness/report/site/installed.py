"""What installed methods say of themselves; none is imported for what an earlier report of the same code found out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.io.digests import digest
from harness.registry import changed_settings, method_card, method_class
from harness.report.memory import looked_up
from harness.report.site.citation import bibtex


class Installed:
    """The method of one name. `edition` stands for its code and all records of it, "" where that is not known."""

    def __init__(self, name: str, edition: str, cache: Path | None) -> None:
        self.name, self._edition, self._cache = name, edition, cache

    @cached_property
    def card(self) -> Any:
        """Its card; None where it is not installed."""
        try:
            return method_card(self.name)
        except (KeyError, UserError):
            return None

    @cached_property
    def fidelity(self) -> str:
        """The parity cases that its present code passed, "" without any."""
        return str(looked_up(self._cache, self._key("fidelity"), self._fidelity)) if self.card else ""

    @property
    def bibtex(self) -> str:
        """The entry of its paper."""
        return bibtex(self.card) if self.card else ""

    def changed(self, family: str, preset: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return `changed_settings` of one of its configs."""
        key = self._key("changed", family, preset, json.dumps(config, sort_keys=True))
        return dict(looked_up(self._cache, key, lambda: changed_settings(self.name, family, preset, config)))

    def _fidelity(self) -> str:
        from harness.parity.record import fidelity

        try:
            return fidelity(method_class(self.name))
        except UserError:
            return ""

    def _key(self, *words: str) -> str:
        return digest(self._edition, self.name, *words) if self._edition else ""
