"""From the verified runs of one submission to its rows: seeds together, with division, badges and resamples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from harness.boards.divisions import Claim, open_reasons, same_at_all_seeds
from harness.boards.record import BoardKey, Resampled, Row
from harness.boards.settings import Settings
from harness.data.card import DatasetCard
from harness.errors import UserError
from harness.identity.code import code_hash
from harness.io.digests import digest
from harness.metrics import variance
from harness.metrics.variance import Estimate
from harness.metrics.version import PROTOCOL_VERSION
from harness.parity.record import fidelity
from harness.records.predictions import Predictions
from harness.records.spec import RunSpec
from harness.registry import is_ours, method_class
from harness.report.leaderboard import board
from harness.report.leaderboard.keys import Key, Training, keys_of, training_of
from harness.report.leaderboard.published import Published
from harness.report.leaderboard.rows import Member, oracle_gap, row_of
from harness.report.leaderboard.uncertainty import normal_videos, on_plan
from harness.submissions.judge import Judgement
from harness.submissions.statement import Statement
from harness.tracking.tracker import TrackedRun

# What of a run's provenance its row keeps.
_PROVENANCE = (
    *("harness", "git_commit", "git_dirty", "python", "torch", "numpy", "platform", "processor", "threads", "gpu"),
    "source",
)
_ROUNDING = 1e-9

Cards = dict[str, DatasetCard]


def rows_of(
    judged: Sequence[Judgement], cards: Cards, settings: Settings, statement: Statement | None
) -> tuple[list[Row], dict[int, Resampled]]:
    """Return the rows of a submission, none of whose runs was rejected, and what each is ranked by.

    `cards` are those of the runs' data sets, by name.
    """
    by_run = {each.entry.id: each for each in judged}
    groups: dict[tuple[Key, Training, str], dict[int, Member]] = defaultdict(dict)
    for each in judged:
        for key, member in keys_of(_tracked(each)):
            groups[key, training_of(member[1]), member[1].selection][member[1].seed] = member
    rows, arrays = list[Row](), dict[int, Resampled]()
    for (key, training, selection), by_seed in sorted(groups.items()):
        members, repeated = _counted([by_seed[seed] for seed in sorted(by_seed)], by_run)
        looked = groups.get((key, training, "oracle"), {}) if selection == "last" else by_seed
        gap = oracle_gap([run for run, _ in looked.values()]) if looked.keys() == by_seed.keys() else None
        mine = [by_run[run.result.id] for run, _ in members]
        primary = cards[key.dataset].protocol.primary
        spread, resampled = _uncertainty(key, mine, primary)
        if resampled is not None:
            arrays[len(rows)] = resampled
        rows.append(_row(key, members, mine, row_of(members, gap, spread), repeated, primary, settings, statement))
    return rows, arrays


def _tracked(judged: Judgement) -> TrackedRun:
    result = judged.entry.result
    metrics = dict(judged.metrics) if judged.verdict == "accepted" else result.metrics
    # What a submission says of parity and checks is not asked.
    provenance = {name: result.provenance[name] for name in _PROVENANCE if result.provenance.get(name)}
    own = result.model_copy(update={"metrics": metrics, "provenance": provenance})
    return TrackedRun(result.id, "", 0, own)


def _counted(members: Sequence[Member], judged: Mapping[str, Judgement]) -> tuple[list[Member], tuple[int, ...]]:
    """The seeds that count, and those left out because their scores are bit for bit those of an earlier one."""
    counted: dict[str, Member] = {}
    repeated = []
    for run, spec in members:
        scores = scores_hash(judged[run.result.id].entry.predictions)
        name = f"{scores} {spec.seed}" if same_at_all_seeds(spec) else scores
        if counted.setdefault(name, (run, spec))[0] is not run:
            repeated.append(spec.seed)
    return list(counted.values()), tuple(repeated)


def _uncertainty(key: Key, judged: Sequence[Judgement], primary: str) -> tuple[dict[str, Estimate], Resampled | None]:
    """The estimates of the frame metrics of a row, and its primary metric on the plan; nothing for what is claimed."""
    found = []
    for each in judged:
        if each.truth is None or each.verdict != "accepted":
            return {}, None
        truth = key.asked.truth(each.truth)
        try:
            found.append(on_plan(each.entry.predictions, truth))
        except UserError:  # a part of the test videos that no score is of
            return {}, None
    normal = normal_videos(truth)
    values = {name: np.stack([each[name] for each in found]) for name in found[0]}
    spread = {name: variance.mean(each, normal) for name, each in values.items()}
    estimates = {name: each for name, each in spread.items() if each is not None}
    return estimates, Resampled(values[primary], normal) if primary in estimates else None


def _row(
    key: Key,
    members: Sequence[Member],
    judged: Sequence[Judgement],
    made: board.Row,
    repeated: tuple[int, ...],
    primary: str,
    settings: Settings,
    statement: Statement | None,
) -> Row:
    spec, results = members[-1][1], [run.result for run, _ in members]
    scores = tuple(scores_hash(each.entry.predictions) for each in judged)
    verified = all(each.verdict == "accepted" for each in judged)
    claim = Claim(spec, results, verified, all(each.features for each in judged), len(repeated), statement)
    reasons = tuple(open_reasons(claim, settings))
    ours = is_ours(spec.method)
    truth = judged[-1].truth if verified else None
    part = key.asked.truth(truth) if truth is not None and key.asked.part else None
    names = [name for name in made.metrics if all(name in result.metrics for result in results)]
    # Who has another team's method installed would write another title than who has not.
    published = made.published if ours else {}
    return Row(
        board=BoardKey(**key._asdict(), truth=judged[-1].entry.truth, protocol_version=PROTOCOL_VERSION),
        verified=verified,
        method=spec.method,
        title=made.title if ours else spec.method,
        ablation=spec.ablation,
        preset=spec.preset,
        selection=spec.selection,
        origin=made.origin,
        checkpoint=spec.checkpoint,
        arithmetic=spec.arithmetic,
        text_tower=spec.text_tower,
        scale=spec.scale,
        config=spec.config,
        config_hash=made.config_hash,
        primary=primary,
        videos=len(part.videos) if part else results[-1].videos,
        frames=part.frames if part else results[-1].frames,
        seeds=made.seeds,
        runs=made.runs,
        scores=scores,
        repeated=repeated,
        metrics={name: tuple(result.metrics[name] for result in results) for name in names},
        figures={name: made.metrics[name] for name in names},
        oracle_gap=made.oracle_gap,
        parameters=made.parameters,
        train_seconds=made.train_seconds,
        test_frames_per_second=made.test_frames_per_second,
        code=made.code,
        provenance=made.provenance,
        published=published,
        division="open" if reasons else "closed",
        reasons=reasons,
        badges=tuple(_badges(verified, made, published, primary, [each for _, each in members])),
    )


def scores_hash(scores: Predictions) -> str:
    """Return the hash of everything that a set of predictions says, bit for bit."""
    probs = b"" if scores.class_probs is None else scores.class_probs.tobytes()
    return digest(*scores.videos, scores.offsets.tobytes(), scores.scores.tobytes(), probs)


def _badges(
    verified: bool, made: board.Row, published: dict[str, Published], primary: str, specs: Sequence[RunSpec]
) -> list[str]:
    found = ["scores verified"] if verified else []
    stages = fidelity_of(specs[-1]) if len({spec.code for spec in specs}) == 1 else ""
    found += [f"parity {stage}" for stage in stages.split(" · ") if stage]
    number, figure = published.get(primary), made.metrics.get(primary)
    if verified and number and not number.doubtful and figure and figure.low is not None and figure.high is not None:
        inside = figure.low - _ROUNDING <= number.value <= figure.high + _ROUNDING
        found.append(f"published {'within' if inside else 'outside'}")
    return found


def fidelity_of(spec: RunSpec) -> str:
    """Return the parity that ships with the harness for the very code of a run, "" where it was other code."""
    if not is_ours(spec.method):
        return ""
    try:
        cls = method_class(spec.method)
        return fidelity(cls, own=False) if code_hash(cls) == spec.code else ""
    except (KeyError, UserError):
        return ""
