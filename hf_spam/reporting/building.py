"""From scores to a report: the model and its baselines in one table, and whether the model is worth its cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.grouping import APART
from ..data.labels import MULTI, REGRESSION, Task
from ..data.near_duplicates import near_groups
from ..errors import one_line
from ..evaluation.metrics import confusion, decide
from ..evaluation.mistakes import result_rows
from .baselines import fit_baselines
from .curves import draw
from .figures import BUDGETS, RESAMPLES, SEED, Estimate, estimate, rates
from .publishing import eval_results
from .rendering import Report
from .slices import slice_rows
from .tabling import (
    MODEL,
    MOST_MISTAKES,
    Estimates,
    confusion_table,
    figures_table,
    label_table,
    mistake_table,
    name_figure,
    slice_table,
    threshold_table,
    twin_table,
)

_MOST_CELLS = 12  # labels of a confusion matrix
_TRIVIAL = ("majority", "mean")

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """What is reported on.

    Attributes:
        title: The model and the messages.
        task: What the labels are.
        texts: N texts.
        labels: Their labels, as `Task.ids` returns them.
        logits: Of the model. *Shape:* `[N, num_labels]`.
        scores: The same as scores. *Shape:* `[N, num_labels]`.
        training: Texts and labels of the training rows, or why they are not at hand.
        source: Where the messages come from; see `data.loading.Prepared`.
        held_out: Whether they are the test split of the model's own data; only then may the Hub have the figures.
        model_sha256: See `checkpoint.files.hash_model`.
        notes: Lines that stand below the title.
    """

    title: str
    task: Task
    texts: Sequence[str]
    labels: Sequence[Any]
    logits: Scores
    scores: Scores
    training: tuple[Sequence[str], Sequence[Any]] | str
    source: str = "own"
    held_out: bool = False
    model_sha256: str | None = None
    notes: Sequence[str] = field(default_factory=list)


def build_report(judged: Judged, resamples: int = RESAMPLES, seed: int = SEED) -> Report:
    """Return the report of a model on messages.

    Args:
        judged: What is reported on.
        resamples: Of the bootstrap.
        seed: Of the resamples and of the baselines' folds.
    """
    task, training = judged.task, judged.training
    known = [] if isinstance(training, str) else list(training[0])
    joint = np.array(near_groups([*known, *judged.texts], APART))
    groups = np.unique(joint[len(known) :], return_inverse=True)[1]
    twin = np.isin(joint[len(known) :], joint[: len(known)])
    labels = np.asarray(task.targets(judged.labels))
    scores = {MODEL: judged.scores}
    if not isinstance(training, str):
        fitted = fit_baselines(known, task.targets(training[1]), joint[: len(known)].tolist(), task, seed)
        scores |= {name: baseline.scores(judged.texts) for name, baseline in fitted.items()}
    found = {name: estimate(task, labels, own, groups, resamples, seed) for name, own in scores.items()}
    verdict, better, paired = judge_models(task, found, len(judged.texts), training)
    notes = [
        *judged.notes,
        f"{len(judged.texts):,} messages in {int(groups.max()) + 1:,} groups of near duplicates. In parentheses: 95 % "
        f"intervals by bootstrap over groups ({resamples:,} resamples, seed {seed}).",
        *([f"The baselines are left out: {training}"] if isinstance(training, str) else []),
    ]
    predictions = decide(task, judged.logits)
    rows = result_rows(judged.texts, judged.labels, torch.from_numpy(judged.scores), task)
    wrong = [row for row in rows if not row.get("correct", False)]
    slices = slice_rows(task, judged.texts, labels, predictions)
    tables = [figures_table(task, found)]
    record: dict[str, Any] = {
        "title": judged.title, "model_sha256": judged.model_sha256,
        "verdict": verdict, "better": better, "labels": list(task.names),
        "positive_label": task.positive, "problem_type": task.problem_type, "messages": len(judged.texts),
        "groups": int(groups.max()) + 1, "resamples": resamples, "seed": seed,
        "baselines_left_out": training if isinstance(training, str) else None,
        "figures": {name: record_of(own) for name, own in found.items()}, "differences": paired,
    }  # fmt: skip
    if task.is_binary:
        thresholds = _thresholds(task, labels, scores)
        tables.append(threshold_table(task, found, thresholds))
        record["thresholds"] = thresholds
    if task.problem_type != REGRESSION and len(task.names) <= _MOST_CELLS and task.problem_type != MULTI:
        record["confusion"] = confusion(labels, predictions, len(task.names))
        tables.append(confusion_table(task, record["confusion"]))
    if task.problem_type != REGRESSION and not task.is_binary:
        tables.append(label_table(task, found[MODEL]))
    if len(known):
        parts = {"all": np.ones(len(twin), bool), "without twins": ~twin, "twins alone": twin}
        measured = {}
        for name, mask in parts.items():
            if mask.any():
                dense = np.unique(groups[mask], return_inverse=True)[1]
                own = {
                    model: estimate(task, labels[mask], each[mask], dense, resamples, seed)
                    for model, each in scores.items()
                }
                measured[name] = (int(mask.sum()), own)
        record["twins"] = {
            name: {"messages": count, "figures": {model: record_of(own) for model, own in each.items()}}
            for name, (count, each) in measured.items()
        }
        tables.append(twin_table(task, measured))
    record |= {"slices": slices, "mistakes": wrong[:MOST_MISTAKES], "number_of_mistakes": len(wrong)}
    tables += [slice_table(task, slices), mistake_table(task, wrong)]
    pictures = draw(task, labels, scores)
    main = {name: one.value for name, one in found[MODEL].items()}
    published = eval_results(judged.source, len(judged.texts), main) if judged.held_out else None
    return Report(judged.title, verdict, better, notes, tables, pictures, record, published)


def judge_models(
    task: Task, found: Mapping[str, Estimates], messages: int, training: Any = None
) -> tuple[str, bool, dict[str, Any]]:
    """Return the first line, whether the model is better than the best baseline, and the differences from each.

    Args:
        task: The labels.
        found: By name, the model's own first.
        messages: How many these figures are of.
        training: Why there are no baselines, if it is a text.
    """
    if isinstance(training, str):
        return (
            "Whether the model is better than simple baselines is not known: they are left out, see below.",
            False,
            {},
        )
    loss = "mae" if task.problem_type == REGRESSION else "log_loss"
    caught = f"caught_at_{BUDGETS[1]:g}"
    others = {name: own for name, own in found.items() if name != MODEL}
    paired = {
        name: {
            figure: _record_one(found[MODEL][figure].minus(own[figure])) for figure in (loss, caught) if figure in own
        }
        for name, own in others.items()
    }
    best = min((name for name in others if name not in _TRIVIAL), key=lambda name: others[name][loss].value)
    lower = found[MODEL][loss].minus(others[best][loss])
    values = [f"{own[loss].value:.3f}" for own in (found[MODEL], others[best])]
    said = [
        f"{name_figure(task, loss)} {values[0]} against {values[1]} of the {best} "
        f"(difference {lower.value:+.3f}, {lower.low:+.3f} to {lower.high:+.3f})"
    ]
    better, worse = lower.high < 0, lower.low > 0
    if task.is_binary and np.isfinite(found[MODEL][caught].value):
        strongest = max((name for name in others if name not in _TRIVIAL), key=lambda name: others[name][caught].value)
        more = found[MODEL][caught].minus(others[strongest][caught])
        shares = [f"{own[caught].value:.1%}" for own in (found[MODEL], others[strongest])]
        ends = f"{100 * more.low:+.1f} to {100 * more.high:+.1f}"
        said.append(
            f"{name_figure(task, caught)} {shares[0]} against {shares[1]} of the {strongest} "
            f"(difference {100 * more.value:+.1f} points, {ends})"
        )
        better, worse = (better or more.low > 0) and more.high >= 0 and lower.low <= 0, worse or more.high < 0
    words = (
        "is better than" if better else "is worse than" if worse else "buys nothing that can be told from chance over"
    )
    return (
        one_line(f"The model {words} the baselines on these {messages:,} messages: {'; '.join(said)}."),
        better,
        paired,
    )


def _thresholds(task: Task, labels: NDArray[Any], scores: Mapping[str, Scores]) -> dict[str, list[dict[str, float]]]:
    target = labels == task.positive_id
    if not 0 < target.sum() < len(target):
        return {}
    found: dict[str, list[dict[str, float]]] = {}
    for name, own in scores.items():
        each, hits, others = rates(target, own[:, task.positive_id], np.ones((1, len(target))))
        found[name] = []
        for budget in BUDGETS:
            count = int((others[0] <= budget * others[0, -1] + 1e-9).sum())
            at = count - 1
            found[name].append({
                "budget": budget,
                "threshold": float(each[at]) if count else float("inf"),
                "blocked": float(others[0, at] / others[0, -1]) if count else 0.0,
                "caught": float(hits[0, at] / hits[0, -1]) if count else 0.0,
            })  # fmt: skip
    return found


def record_of(own: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: _record_one(each) for name, each in own.items()}


def _record_one(each: Estimate) -> dict[str, float]:
    return {"value": each.value, "low": each.low, "high": each.high}
