"""The figures of a report against scikit-learn's, in every resample.   pytest tests/reporting/test_figures.py"""

import numpy as np
import pytest
from sklearn import metrics

from hf_spam.data.labels import MULTI, REGRESSION, Task
from hf_spam.reporting.figures import BUDGETS, estimate, rates, resample

N = 200
RANDOM = np.random.default_rng(5)
GROUPS = np.concatenate([np.arange(150), RANDOM.integers(150, size=N - 150)])
WEIGHTS = np.concatenate(list(resample(GROUPS, 6)))


def scores(columns: int) -> np.ndarray:
    found = RANDOM.dirichlet(np.full(columns, 0.6), size=N).round(2)  # with ties
    return found / found.sum(axis=1, keepdims=True)


def test_two_labels() -> None:
    labels, found = RANDOM.integers(2, size=N), scores(2)
    figures = estimate(Task(), labels, found, GROUPS, 6)
    score, said = found[:, 1], found.argmax(axis=1)
    for number, weights in enumerate(WEIGHTS):
        options = {"sample_weight": weights}
        false, true, _ = metrics.roc_curve(labels, score, drop_intermediate=False, **options)
        expected = {
            "accuracy": metrics.accuracy_score(labels, said, **options),
            "precision": metrics.precision_score(labels, said, **options),
            "recall": metrics.recall_score(labels, said, **options),
            "f1": metrics.f1_score(labels, said, **options),
            "mcc": metrics.matthews_corrcoef(labels, said, **options),
            "blocked": 1 - metrics.recall_score(labels, said, pos_label=0, **options),
            "log_loss": metrics.log_loss(labels, score.clip(1e-15, 1 - 1e-15), **options),
            "brier": metrics.brier_score_loss(labels, score, **options),
            "roc_area": metrics.roc_auc_score(labels, score, **options),
            "pr_area": metrics.average_precision_score(labels, score, **options),
            **{f"caught_at_{budget:g}": true[false <= budget + 1e-12].max() for budget in BUDGETS},
        }
        for name, value in expected.items():
            own = figures[name].value if number == 0 else figures[name].resampled[number - 1]
            assert own == pytest.approx(value, abs=1e-9), (name, number)


def test_the_other_label_is_positive() -> None:
    labels, found = RANDOM.integers(2, size=N), scores(2)
    figures = estimate(Task(positive="ham"), labels, found, GROUPS, 2)
    assert figures["recall"].value == metrics.recall_score(labels, found.argmax(axis=1), pos_label=0)


def test_more_labels_several_labels_and_numbers() -> None:
    weights, options = WEIGHTS[3], {"sample_weight": WEIGHTS[3]}
    labels, found = RANDOM.integers(3, size=N), scores(3)
    own = {name: each.resampled[2] for name, each in estimate(Task(("a", "b", "c")), labels, found, GROUPS, 6).items()}
    said = found.argmax(axis=1)
    assert own["mcc"] == pytest.approx(metrics.matthews_corrcoef(labels, said, **options))
    assert own["f1_macro"] == pytest.approx(metrics.f1_score(labels, said, average="macro", **options))
    assert own["f1_micro"] == pytest.approx(metrics.accuracy_score(labels, said, **options))
    area = metrics.roc_auc_score(labels, found, multi_class="ovr", **options)
    assert own["roc_area_macro"] == pytest.approx(area)
    assert own["pr_area/c"] == pytest.approx(metrics.average_precision_score(labels == 2, found[:, 2], **options))

    targets, single = RANDOM.integers(2, size=(N, 3)), RANDOM.random((N, 3))
    several = estimate(Task(("a", "b", "c"), MULTI), targets, single, GROUPS, 6)
    for mean in ("macro", "micro"):
        expected = metrics.f1_score(targets, single > 0.5, average=mean, **options)
        assert several[f"f1_{mean}"].resampled[2] == pytest.approx(expected)

    numbers = RANDOM.normal(size=N)
    figures = estimate(Task(("score",), REGRESSION), numbers, single[:, :1], GROUPS, 6)
    assert figures["r2"].resampled[2] == pytest.approx(metrics.r2_score(numbers, single[:, 0], **options))
    assert figures["mae"].resampled[2] == pytest.approx(np.average(np.abs(numbers - single[:, 0]), weights=weights))


def test_resamples_draw_whole_groups_and_are_the_same_again() -> None:
    assert (WEIGHTS[0] == 1).all()
    assert (np.concatenate(list(resample(GROUPS, 6))) == WEIGHTS).all()
    for weights in WEIGHTS:
        assert all(len(set(weights[group == GROUPS])) == 1 for group in range(150))
    assert not (WEIGHTS[1] == np.concatenate(list(resample(GROUPS, 6, seed=1)))[1]).all()


def test_the_interval_of_a_share_is_as_wide_as_theory_says() -> None:
    labels = np.arange(400) % 2
    found = np.eye(2)[np.where(np.arange(400) < 40, 1 - labels, labels)]
    own = estimate(Task(), labels, found, np.arange(400))["accuracy"]
    assert own.value == 0.9
    assert own.high - own.low == pytest.approx(2 * 1.96 * (0.9 * 0.1 / 400) ** 0.5, rel=0.12)
    copies = estimate(Task(), labels, found, np.arange(400) // 10)["accuracy"]  # a tenth of the evidence
    assert copies.high - copies.low > 2 * (own.high - own.low)


def test_one_label_alone_has_no_curves() -> None:
    figures = estimate(Task(), np.zeros(N, int), scores(2), GROUPS, 3)
    assert np.isnan(figures["roc_area"].value)
    assert np.isnan(figures["caught_at_0.005"].value)
    assert figures["blocked"].value > 0


def test_rates_join_equal_scores() -> None:
    each, hits, others = rates(np.array([True, False, True]), np.array([0.5, 0.5, 0.9]), np.ones((1, 3)))
    assert each.tolist() == [0.9, 0.5]
    assert (hits.tolist(), others.tolist()) == ([[1, 2]], [[0, 1]])
