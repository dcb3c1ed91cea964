"""Folds, their files and their figures.   pytest tests/cross_validation"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import matthews_corrcoef

from hf_spam import UserError
from hf_spam.calibration.scores import fit_temperature
from hf_spam.cross_validation.evidence import load_evidence
from hf_spam.cross_validation.figures import as_scores, calibrate, summarize
from hf_spam.cross_validation.folds import Collection, Fold, draw_folds, prepare_fold, read_collection
from hf_spam.cross_validation.out_of_fold import OURS, OutOfFold, fold_file, load_seed, save_all, save_fold
from hf_spam.data.arguments import DataArguments
from hf_spam.data.labels import MULTI, REGRESSION, Task
from hf_spam.data.splits import SPAM
from hf_spam.reporting.baselines import as_logits, baseline_logits
from hf_spam.reporting.rendering import to_text


@pytest.fixture(scope="module")
def real(few_messages: Path) -> Collection:
    return read_collection(DataArguments(data_file=[str(few_messages)]))


def test_every_group_on_one_side(real: Collection) -> None:
    """Of each fold the three splits are all messages, and no group is in two of them; the same seed draws the same."""
    folds = list(draw_folds(real, 4, [1, 2], 0.2))
    again = list(draw_folds(real, 4, [2], 0.2))
    assert [(fold.seed, fold.number) for fold in folds] == [
        (seed, number) for seed in (1, 2) for number in (1, 2, 3, 4)
    ]
    assert all(
        (one.rows[name] == other.rows[name]).all()
        for one, other in zip(folds[4:], again, strict=True)
        for name in one.rows
    )
    groups = np.asarray(real.groups)
    for fold in folds:
        assert sorted(np.concatenate(list(fold.rows.values())).tolist()) == list(range(130))
        sides = [set(groups[rows]) for rows in fold.rows.values()]
        assert not (sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2])
        assert len(fold.rows["validation"]) == pytest.approx(0.2 * (130 - len(fold.rows["test"])), abs=4)
    for seed in (1, 2):
        tested = np.concatenate([fold.rows["test"] for fold in folds if fold.seed == seed])
        assert sorted(tested.tolist()) == list(range(130))


@pytest.mark.parametrize("balance", ["none", "undersample", "oversample"])
def test_only_training_is_balanced(balance: str) -> None:
    texts = [
        f"{word} {number} {'abcdefgh'[number % 8] * 5}" for number in range(40) for word in ("win", "come", "go home")
    ]
    frame = pd.DataFrame({"Label": ["spam", "ham", "ham"] * 40, "Text": texts})
    collection = Collection(frame, SPAM, list(range(120)), balance, [])  # type: ignore[arg-type]
    fold = next(draw_folds(collection, 4, [1], 0.1))
    prepared = prepare_fold(collection, fold)
    found = {name: (rows["label"][:].count(0), rows["label"][:].count(1)) for name, rows in prepared.splits.items()}
    ham, spam = (int((frame["Label"].iloc[fold.rows["train"]] == label).sum()) for label in ("ham", "spam"))
    assert found["train"] == {"none": (ham, spam), "undersample": (spam, spam), "oversample": (ham, ham)}[balance]
    assert found["test"] == (20, 10)
    assert prepared.splits["test"]["text"][:] == [texts[row] for row in fold.rows["test"]]


def test_ungrouped_folds(few_messages: Path) -> None:
    """`--split stratified`: as if nothing were alike, for the figure that everybody else prints."""
    collection = read_collection(DataArguments(data_file=[str(few_messages)], split="stratified"))
    assert collection.groups == list(range(130))


def test_files(real: Collection, tmp_path: Path) -> None:
    """What was saved comes back in the order of the messages; what is damaged or of other folds is refused."""
    folds = list(draw_folds(real, 3, [5], 0.1))
    logits = np.random.default_rng(0).normal(size=(130, 2))
    for fold in folds:
        rows = fold.rows["test"]
        save_fold(fold_file(tmp_path, fold), fold, real, {OURS: logits[rows], "other": -logits[rows]})
    found = load_seed(tmp_path, folds, real)
    assert (found.logits[OURS] == logits).all()
    assert (found.logits["other"] == -logits).all()
    assert all((found.folds[fold.rows["test"]] == fold.number).all() for fold in folds)
    save_all(tmp_path, folds)
    evidence = load_evidence(tmp_path, SPAM)
    order = np.concatenate([fold.rows["test"] for fold in folds])
    assert (evidence.logits == logits[order]).all()
    assert list(evidence.groups) == [real.groups[row] for row in order]
    with pytest.raises(
        UserError, match=r"out-of-fold\.parquet: expected the scores of hf-spam cross-validate for a, b"
    ):
        load_evidence(tmp_path, Task(("a", "b")))
    moved = [Fold(5, fold.number, fold.rows | {"test": fold.rows["test"][::-1]}) for fold in folds]
    with pytest.raises(UserError, match="expected the logits of a fold, found none: other messages"):
        load_seed(tmp_path, moved, real)
    fold_file(tmp_path, folds[1]).write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"seed-5-fold-2\.parquet: expected the logits of a fold"):
        load_seed(tmp_path, folds, real)


def test_figures_by_hand(real: Collection) -> None:
    """Caught spam, blocked ham and MCC of logits that are wrong where we say; a sharper model is as good as it, once both
    are calibrated.
    """
    ids = np.asarray(real.task.ids(real.frame["Label"]))
    lead = np.where(ids == 1, 2.0, -2.0)
    wrong = [*np.flatnonzero(ids == 1)[:5], *np.flatnonzero(ids == 0)[:2]]
    lead[wrong] *= -1
    logits = np.stack([np.zeros(130), lead], axis=1)
    folds = np.arange(130) % 2
    found = summarize([OutOfFold(1, folds, {OURS: logits, "sharp": 5 * logits})], real, 50).record["figures"]
    assert found[OURS]["recall"]["value"] == pytest.approx(60 / 65)
    assert found[OURS]["blocked"]["value"] == pytest.approx(2 / 65)
    assert found[OURS]["mcc"]["value"] == pytest.approx(matthews_corrcoef(ids, lead > 0))
    assert found[OURS]["recall"]["low"] < 60 / 65 < found[OURS]["recall"]["high"]
    assert found["sharp"]["log_loss"]["value"] == pytest.approx(found[OURS]["log_loss"]["value"], rel=1e-3)
    calibrated = calibrate(logits, ids.tolist(), folds, real.task)
    for fold in (0, 1):  # by the temperature that fits the other
        by = fit_temperature(logits[folds != fold], ids[folds != fold])
        assert calibrated[folds == fold] == pytest.approx(logits[folds == fold] / by)


def test_the_mean_over_seeds(real: Collection) -> None:
    """Two seeds, one always right and one always wrong: half of everything, and no model beats the other."""
    ids = np.asarray(real.task.ids(real.frame["Label"]))
    right = np.eye(2)[ids]
    results = [OutOfFold(1, np.arange(130) % 2, {OURS: right, "other": -right})]
    results.append(OutOfFold(2, np.arange(130) % 2, {OURS: -right, "other": right}))
    report = summarize(results, real, 50)
    for system in (OURS, "other"):
        assert report.record["figures"][system]["accuracy"] == {"value": 0.5, "low": 0.5, "high": 0.5}
        assert report.record["standard_deviation_over_seeds"][system]["accuracy"] == pytest.approx(2**-0.5)
    assert "buys nothing that can be told from chance" in report.verdict
    assert "the mean over seeds 1, 2" in report.notes[0]
    shown = to_text(report.tables[0]).splitlines()
    assert shown[1].split() == ["model", "other"]
    assert shown[2].split() == ["accuracy", "50.0", "%", "(50.0,", "50.0", "%)", "50.0", "%", "(50.0,", "50.0", "%)"]


@pytest.mark.parametrize(
    ("task", "targets"),
    [
        (Task(("a", "b", "c")), ["a", "b", "c"] * 20),
        (Task(("a", "b"), MULTI), [["a"], ["a", "b"], []] * 20),
        (Task(("value",), REGRESSION), [0.5, 1.0, 2.0] * 20),
    ],
    ids=["three", "multi-label", "regression"],
)
def test_other_tasks(task: Task, targets: list[Any]) -> None:
    frame = pd.DataFrame(
        {"Label": targets, "Text": [f"text {number} {'abc'[number % 3] * 9}" for number in range(60)]}
    )
    collection = Collection(frame, task, list(range(60)), "none", [])
    fold = next(draw_folds(collection, 3, [1], 0.1))
    logits = baseline_logits(prepare_fold(collection, fold), 1)
    assert all(values.shape == (len(fold.rows["test"]), len(task.names)) for values in logits.values())
    assert all(np.isfinite(values).all() for values in logits.values())
    values = np.random.default_rng(1).normal(size=(60, len(task.names)))
    report = summarize([OutOfFold(1, np.arange(60) % 3, {OURS: values, "other": -values})], collection, 20)
    assert report.record["promises"] == {}
    assert report.record["figures"][OURS]


def test_logits_of_scores() -> None:
    """They give the scores again, also of one that is certain."""
    single = np.array([[0.25, 0.75], [0.0, 1.0]])
    assert as_scores(as_logits(single, SPAM), SPAM) == pytest.approx(single, abs=1e-6)
    several = Task(("a", "b"), MULTI)
    assert as_scores(as_logits(single, several), several) == pytest.approx(single, abs=1e-6)
