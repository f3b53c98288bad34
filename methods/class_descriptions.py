"""Sentences about the classes of a data set, from a file to text features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from harness.errors import Unsupported
from harness.plugin import Task, TextTower


def read_descriptions(path: str) -> dict[str, list[str]]:
    """Return the sentences of each class in a YAML or JSON file that maps class names to lists of sentences.

    Raises:
        ValueError: the file cannot be read or is no such map.
    """
    import yaml  # JSON is YAML, too

    try:
        content = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read ({' '.join(str(error).split())[:200]})") from error
    form = "a list of sentences for each class, such as `fighting: [Two people hit each other.]`"
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path}: expected {form}")
    for name, sentences in content.items():
        right = isinstance(sentences, list) and sentences and all(isinstance(s, str) and s.strip() for s in sentences)
        if not isinstance(name, str) or not right:
            raise ValueError(f"{path}: class {name!r}: expected {form}")
    return content


def described(tower: TextTower, task: Task, sentences: Mapping[str, Sequence[str]]) -> Tensor:
    """Return a vector of each class `[K, D]`: the mean of its sentences' text features, not normalised.

    `sentences` go by the class's name or prompt, in any case; without any at all a class is described by its prompt.

    Raises:
        Unsupported: there are sentences, but none about some class.
    """
    by_name = {name.lower(): list(each) for name, each in sentences.items()}
    rows = []
    for name, prompt in zip(task.classes, task.prompts, strict=True):
        own = by_name.get(name.lower()) or by_name.get(prompt.lower()) or ([] if by_name else [prompt.lower()])
        if not own:
            raise Unsupported(f"the descriptions say nothing about class {name} of {task.dataset} (prompt: {prompt})")
        rows.append(tower.encode(own).mean(dim=0))
    return torch.stack(rows)
