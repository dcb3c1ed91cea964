"""The report of all messages out of fold: figures of every system with intervals, the mean over the seeds.

The logits of each fold are divided by the temperature that fits the other folds, so that losses and calibration errors
are those of a calibrated model that has seen none of its messages.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax

from ..calibration.resplitting import Trial, try_promise
from ..calibration.risk import Promise
from ..calibration.scores import fit_temperature
from ..data.labels import MULTI, REGRESSION, SINGLE, Task
from ..evaluation.metrics import decide
from ..evaluation.mistakes import result_rows
from ..reporting.building import judge_models, record_of
from ..reporting.figures import RESAMPLES, SEED, Array, Estimate, estimate
from ..reporting.rendering import Cell, Report, Table
from ..reporting.slices import slice_rows
from ..reporting.tabling import (
    MOST_MISTAKES,
    figures_table,
    mistake_table,
    slice_table,
    threshold_table,
)
from .folds import Collection
from .out_of_fold import OURS, OutOfFold

PROMISES = (Promise(0.005), Promise(0.001))


def summarize(
    results: Sequence[OutOfFold], collection: Collection, resamples: int = RESAMPLES, seed: int = SEED
) -> Report:
    """Return the report of a cross-validation.

    Args:
        results: One for each seed.
        collection: The messages.
        resamples: Of the bootstrap over groups.
        seed: Of the resamples.
    """
    task, number = collection.task, len(collection.frame)
    ids = task.ids(collection.frame["Label"])
    labels = np.asarray(task.targets(ids))
    groups = np.unique(np.asarray(collection.groups), return_inverse=True)[1]
    systems = list(results[0].logits)
    calibrated = {
        name: [calibrate(result.logits[name], ids, result.folds, task) for result in results] for name in systems
    }
    scores = {name: [as_scores(values, task) for values in calibrated[name]] for name in systems}
    found, spread = {}, {}
    for name in systems:
        of_seed = [estimate(task, labels, values, groups, resamples, seed) for values in scores[name]]
        found[name] = {figure: average([own[figure] for own in of_seed]) for figure in of_seed[0]}
        spread[name] = {figure: deviation([own[figure].value for own in of_seed]) for figure in of_seed[0]}
    promises = try_promises(results, ids, collection.groups, task)
    alone = "" if len(systems) > 1 else "The baselines were left out."
    verdict, better, paired = judge_models(task, found, number, alone or None)
    mean = np.mean(calibrated[OURS], axis=0)
    rows = result_rows(collection.frame["Text"].tolist(), ids, torch.from_numpy(as_scores(mean, task)), task)
    wrong = [row for row in rows if not row.get("correct", False)]
    slices = slice_rows(task, collection.frame["Text"].tolist(), labels, decide(task, mean))
    tables = [figures_table(task, found)]
    if task.is_binary:
        tables.append(threshold_table(task, found, {}))
    if any(promises.values()):
        tables.append(promise_table(promises, task))
    tables += [slice_table(task, slices), mistake_table(task, wrong)]
    folds, seeds = int(results[0].folds.max()), [result.seed for result in results]
    of_seeds = f"seed {seeds[0]}" if len(seeds) == 1 else f"the mean over seeds {', '.join(map(str, seeds))}"
    notes = [
        f"{number:,} messages in {int(groups.max()) + 1:,} groups, each scored by a model that saw none of its group: "
        f"{folds} folds, {of_seeds}. Scores are calibrated on the other folds.",
        f"In parentheses: 95 % intervals by bootstrap over groups ({resamples:,} resamples, seed {seed}).",
    ]
    record = {
        "verdict": verdict, "better": better, "messages": number, "groups": int(groups.max()) + 1, "folds": folds,
        "seeds": seeds, "resamples": resamples, "differences": paired,
        "figures": {name: record_of(own) for name, own in found.items()},
        "standard_deviation_over_seeds": spread,
        "promises": {name: [vars(trial) for trial in trials] for name, trials in promises.items()},
        "slices": slices, "number_of_mistakes": len(wrong), "mistakes": wrong[:MOST_MISTAKES],
    }  # fmt: skip
    return Report(f"{number:,} messages out of fold", verdict, better, notes, tables, {}, record)


def calibrate(logits: NDArray[Any], ids: Sequence[Any], folds: NDArray[Any], task: Task) -> Array:
    """Return logits of which each fold is divided by the temperature that fits the others. *Shape:* as `logits`."""
    calibrated = np.array(logits, dtype=np.float64)
    if task.problem_type != SINGLE:
        return calibrated
    labels = np.asarray(ids)
    for fold in np.unique(folds):
        calibrated[folds == fold] /= fit_temperature(logits[folds != fold], labels[folds != fold])
    return calibrated


def as_scores(logits: Array, task: Task) -> Array:
    """Return scores as `SpamClassifier.scores` does. *Shape:* as `logits`."""
    if task.problem_type == REGRESSION:
        return logits
    return np.asarray(expit(logits) if task.problem_type == MULTI else softmax(logits, axis=1))


def average(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of the estimates of several seeds, from the same resamples."""
    return Estimate.of(np.mean([[own.value, *own.resampled] for own in estimates], axis=0))


def deviation(values: Sequence[float]) -> float:
    """Return the standard deviation; 0 of a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def try_promises(
    results: Sequence[OutOfFold], ids: Sequence[int], groups: Sequence[int], task: Task
) -> dict[str, list[Trial]]:
    """Return what becomes of each promise on messages that it was not made on, by system: all seeds together.

    Returns:
        Nothing without a label that is blocked, and no trial of a promise that takes more messages.
    """
    if task.problem_type != SINGLE or task.positive is None:
        return {}
    found: dict[str, list[Trial]] = {}
    for name in results[0].logits:
        found[name] = []
        for promise in PROMISES:
            tried = [try_promise(result.logits[name], ids, groups, task, promise) for result in results]
            trials = [trial for trial in tried if trial is not None]
            if trials:
                found[name].append(sum_trials(trials))
    return found


def sum_trials(trials: Sequence[Trial]) -> Trial:
    """Return several trials of the same promise as one."""
    return Trial(
        trials[0].budget,
        sum(trial.resplits for trial in trials),
        sum(trial.broken for trial in trials),
        sum(trial.broken_by_messages for trial in trials),
        float(np.mean([trial.blocked for trial in trials])),
        float(np.mean([trial.caught for trial in trials])),
    )


def promise_table(promises: Mapping[str, Sequence[Trial]], task: Task) -> Table:
    """Return what each promise costs, and how often it was broken."""
    rows: list[list[Cell]] = []
    budgets = sorted({trial.budget for trials in promises.values() for trial in trials}, reverse=True)
    for budget in budgets:
        cells = [next((trial for trial in trials if trial.budget == budget), None) for trials in promises.values()]
        asked = f"at most {budget:.1%}".replace("%", " %")
        shown = {
            f"{asked}: caught {task.positive}": [f"{trial.caught:.1%}" if trial else "–" for trial in cells],
            f"{asked}: blocked others": [f"{trial.blocked:.2%}" if trial else "–" for trial in cells],
            f"{asked}: broken": [f"{trial.broken} of {trial.resplits}" if trial else "–" for trial in cells],
            f"{asked}: broken by copies": [
                f"{trial.broken_by_messages} of {trial.resplits}" if trial else "–" for trial in cells
            ],
        }
        rows += [[(name, ""), *((value.replace("%", " %"), "") for value in values)] for name, values in shown.items()]
    note = (
        "The point is chosen on half of the groups and judged on the other half, with 95 % confidence. Broken: more "
        "of the other groups were blocked than promised. By copies: more of the messages, each group counted as often "
        "as it has copies; that is not promised."
    )
    return Table("Promises", ["", *promises], rows, note)
