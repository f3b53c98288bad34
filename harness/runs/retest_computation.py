"""What a test of given weights computes: a run's checkpoint on another data set, or causally.

What is computed is `harness.runs.computation`'s; here it is put together, and said in the classes of the test set. How
classes are translated is part of the run's protocol.
"""

from __future__ import annotations

from harness.data.class_maps import translated
from harness.plugin.method import Method
from harness.runs.computation import Outcome, Tested, Tick, Trial, measure
from harness.training.arithmetic import arithmetic
from harness.weights.checkpoints import load
from harness.weights.readers import read_weights


def retest_trial(trial: Trial, method: Method, progress: Tick) -> Outcome:
    """Predict the test set with the weights of a run that trained, in the classes of the test set.

    Raises:
        HarnessError: a score is NaN, infinite or of the wrong shape.
        UserError: the weights cannot be read or do not fit.
    """
    spec = trial.spec
    if trial.weights is not None:
        load(method, read_weights(trial.weights), str(trial.weights))
    with arithmetic(method, spec.device, spec.precision):
        tested = measure(method, trial.bank, spec.device, progress, spec.reading == "causal", trial.testing)
    predictions = translated(tested.predictions, trial.trained_on, trial.bank.card)
    return Outcome([], 0.0, [], None, Tested(predictions, tested.seconds))
