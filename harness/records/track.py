"""The tracks: what supervision and input a method works with. No leaderboard mixes two of them."""

from __future__ import annotations

from typing import Literal

Track = Literal["weak", "glance", "audio-visual", "zero-shot", "training-free"]

TRACKS: dict[Track, str] = {
    "weak": "video labels alone",
    "glance": "video labels and a click in each training event",
    "audio-visual": "video labels, and sound beside the pictures",
    "zero-shot": "no training on the data set",
    "training-free": "no training at all, scores from elsewhere",
}
