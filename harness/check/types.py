"""The check of types, which comes first: a method that answers with something else cannot be asked further."""

from __future__ import annotations

from harness.check.subject import Subject
from harness.check.verdict import require
from harness.plugin import contract
from harness.plugin.method import MethodConfig


def types(subject: Subject) -> str:
    """Config, sampling, reading, looks, schedules, loss terms, prediction and saved state are what they must be."""
    got = type(subject.config).__name__
    require(isinstance(subject.config, MethodConfig), f"configure must give a MethodConfig; got a {got}")
    method = subject.build()
    contract.reading(method)
    contract.looks(method)
    contract.saved_state(method)
    if subject.by_gradient:
        batches = subject.batches(method, steps=1)
        contract.schedules(method, batches.plan)
        for batch in batches.epoch(0):
            subject.terms(method, batch)
    subject.predict(method, subject.videos(7))
    return ""
