"""Protocols of extraction: the fields of their files, the table of those that ship, and what an extraction records."""

from __future__ import annotations

from generate import tables
from harness.records.extraction import Recipe, VideoFacts, VideoRecord
from harness.records.protocol import Crops, Frames, Normalisation, Picture, Protocol
from harness.video.protocols import find_protocol, protocol_names

_PARTS = {
    "A protocol": Protocol,
    "`frames`": Frames,
    "`picture`": Picture,
    "`crops`": Crops,
    "`normalise`": Normalisation,
}
_RECORDS = {"`extraction.json`": Recipe, "`videos/NAME.json`": VideoRecord, "`facts` in `videos/NAME.json`": VideoFacts}


def fields() -> str:
    """Return a section for each part of a protocol's file."""
    return "\n".join(tables.model(part, f"### {title}") for title, part in _PARTS.items())


def shipped() -> str:
    """Return the table of the protocols that come with the harness."""
    found = [find_protocol(name) for name in protocol_names()]
    rows = [(f"`{each.name}`", each.words, each.tower, each.source) for each in found]
    return tables.table(("name", "rows", "tower it is meant for", "who extracts so"), rows)


def record_fields() -> str:
    """Return the fields of the JSON files of an extraction."""
    return "\n".join(tables.model(part, f"### {title}") for title, part in _RECORDS.items())
