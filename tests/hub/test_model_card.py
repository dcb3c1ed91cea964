"""The model card: complete, filled from the run and from nothing else, its metadata valid.   pytest tests/hub/test_model_card.py"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, ModelCard, get_session
from huggingface_hub.repocard_data import model_index_to_eval_results
from jinja2 import UndefinedError
from support.loopback_hub import LoopbackHub

from hf_spam import DataArguments
from hf_spam.checkpoint.operating_point import OperatingPoint
from hf_spam.data.labels import Task
from hf_spam.evaluation.intervals import intervals
from hf_spam.hub.cards import describe_preparation, render
from hf_spam.hub.model_card import build_model_card
from hf_spam.hub.privacy import public_options

REPOSITORY = "alice/spam-filter"


@pytest.fixture(scope="module")
def runs(tiny_run: Callable[[str], Path]) -> dict[str, Path]:
    """Two runs: the sample's messages from random weights; own messages from a GPT-2, unbalanced."""
    return {name: tiny_run(name) for name in ("sample", "own")}


@pytest.fixture(scope="module")
def card(runs: dict[str, Path]) -> str:
    """The card of the run on the sample's messages."""
    return build_model_card(runs["sample"], REPOSITORY)


@pytest.fixture(scope="module")
def metrics(runs: dict[str, Path]) -> dict[str, Any]:
    """What that run recorded."""
    record: dict[str, Any] = json.loads((runs["sample"] / "metrics.json").read_text())
    return record


def section(card: str, title: str) -> str:
    """The text under a heading."""
    parts = re.split(r"^## (.+)$", card, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title]


# Every key of `metrics.json` and the type of its value. Cards, `evaluate` and users' own programs read them.
_SPLIT = {
    **dict.fromkeys(("accuracy", "precision", "recall", "f1", "loss"), float),
    "messages": int,
    "confusion": [[int]],
}
_COUNTS = dict.fromkeys(("ham", "spam", "total"), int)
_LEAK = {"messages": int, "twins": int, "labels": {key: [int] for key in ("ham", "spam")}}
METRICS_SCHEMA = {
    "splits": {"train": _SPLIT, **dict.fromkeys(("validation", "test"), _SPLIT | {"without_twins": _SPLIT})},
    "examples": [{"text": str, "label": str, "score": float}],
    "training": {
        **dict.fromkeys(("seconds", "epochs"), float),
        **dict.fromkeys(("steps", "parameters", "trained_parameters", "processes", "batch"), int),
        "best_checkpoint_step": None,
        "base_model": None,
        "precision": str,
        "balance": str,
        "prior": None,
        "options": {
            **dict.fromkeys(("learning_rate", "warmup_steps", "weight_decay", "max_grad_norm"), float),
            **dict.fromkeys(("lr_scheduler_type", "optim"), str),
            "seed": int,
        },
    },
    "data": {
        "counts": dict.fromkeys(("train", "validation", "test"), _COUNTS),
        "repeated": {"validation": int, "test": int},
        "fingerprint": str,
        "given": bool,
        "source": str,
        "leaks": dict.fromkeys(("validation", "test"), _LEAK),
    },
    "history": {
        "steps": [int],
        **{f"{split}_{what}": [float] for split in ("train", "validation") for what in ("losses", "accuracies")},
        "examples_seen": int,
        **{f"evaluation_{what}": [float] for what in ("epochs", "losses", "accuracies")},
    },
    "environment": {
        **dict.fromkeys(("python", "torch", "transformers", "datasets", "evaluate", "accelerate", "tokenizers"), str),
        **dict.fromkeys(("platform", "device"), str),
        "threads": int,
    },
}
ARGUMENTS_SCHEMA = {  # of `arguments.json`: what the preset and the command line gave, nothing else
    **dict.fromkeys(
        ("output_dir", "data_source", "weights", "model_size", "pooling", "trainable", "preset", "split"), str
    ),
    **dict.fromkeys(("context_length", "num_train_epochs", "global_batch_size", "max_steps"), int),
    **dict.fromkeys(("drop_rate", "learning_rate", "warmup_steps", "max_grad_norm"), float),
    **dict.fromkeys(("lr_scheduler_type", "train_sampling_strategy"), str),
    **dict.fromkeys(("causal", "disable_tqdm", "keep_checkpoints"), bool),
}


def schema(value: Any) -> Any:
    """The type of a JSON value; of a list that of its items, which must all have the same."""
    if isinstance(value, dict):
        return {key: schema(item) for key, item in value.items()}
    if isinstance(value, list):
        first, *others = map(schema, value)
        assert all(other == first for other in others)
        return [first]
    return None if value is None else type(value)


def test_the_form_of_the_files(runs: dict[str, Path], metrics: dict[str, Any]) -> None:
    assert schema(metrics) == METRICS_SCHEMA
    assert schema(json.loads((runs["sample"] / "arguments.json").read_text())) == ARGUMENTS_SCHEMA


SECTIONS = ["How to use it", "Data", "Training", "Results", "Limits and biases", "Licence and citation"]


def test_every_part_is_there(card: str) -> None:
    assert re.findall(r"^## (.+)$", card, flags=re.MULTILINE) == SECTIONS
    for title in SECTIONS:
        assert len(section(card, title).strip()) > 200, title


def test_nothing_is_left_open(runs: dict[str, Path]) -> None:
    for folder in runs.values():
        card = build_model_card(folder, REPOSITORY)
        found = re.findall(r"None|\bnan\b|\{\{|\}\}|\{%|Undefined|TODO|\[More|<[^|]*?>|\?\?\?", card.replace("<|", ""))
        assert found == []
        assert not re.search(r"\| +\|[^|]*$", section(card, "Results").replace("| | predicted", ""), re.MULTILINE)
        assert not re.search(r"\n\n\n|[ \t]+$", card, re.MULTILINE)
        assert str(folder.parents[1]) not in card
        for line in card.splitlines():
            assert "http" not in line or re.search(r"https://(doi\.org|huggingface\.co)/", line)


def test_how_to_use_it(card: str) -> None:
    text = section(card, "How to use it")
    assert len(re.findall("```python", text)) == 3
    assert text.count(f'"{REPOSITORY}"') == 4
    assert f'pipeline("text-classification", model="{REPOSITORY}", trust_remote_code=True)' in text
    assert f'SpamClassifier.from_pretrained("{REPOSITORY}")' in text
    for program in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(program, "card", "exec")


def test_data(card: str, metrics: dict[str, Any]) -> None:
    text = section(card, "Data")
    assert "SMS Spam Collection v.1" in text
    for name, counts in metrics["data"]["counts"].items():
        assert f"| {name} | {counts['ham']} | {counts['spam']} | {counts['total']} |" in text
    assert metrics["data"]["repeated"]["test"] > 0
    assert f"{metrics['data']['repeated']['test']} of the test messages also occur, word for word, in the" in text
    assert metrics["data"]["fingerprint"] in text
    assert "split 70/10/20 at random (seed 123)" in text


def test_how_groups_were_split() -> None:
    """With groups only the training split is balanced."""
    grouped = describe_preparation(DataArguments(split="grouped"), Task(), given=False)
    assert grouped.startswith(
        "All messages are used, without balancing the labels. The messages are split 70/10/20 at"
    )
    assert "near duplicates into the same one" in grouped
    balanced = describe_preparation(DataArguments(split="grouped", balance="undersample"), Task(), given=False)
    assert balanced.startswith("In training, messages of the more frequent labels were dropped")


def test_training(card: str, metrics: dict[str, Any], runs: dict[str, Path]) -> None:
    text, training = section(card, "Training"), metrics["training"]
    for figure in (training["trained_parameters"], training["parameters"], training["steps"]):
        assert f"{figure:,}" in text
    assert f"{training['steps']} steps of 32 messages in\n{training['seconds']} seconds" in text
    assert training["batch"] == 32
    for value in (*training["options"].values(), training["precision"]):
        assert (f"{value:g}" if isinstance(value, float) else str(value)) in text
    for name in ("python", "torch", "transformers", "datasets", "accelerate"):
        assert f"{name} {metrics['environment'][name]}" in text
    assert metrics["environment"]["device"] in text
    (options,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert json.loads(options) == public_options(json.loads((runs["sample"] / "arguments.json").read_text()))
    assert "Started from random weights. Trained: all," in text


def test_results(card: str, metrics: dict[str, Any], runs: dict[str, Path]) -> None:
    text = section(card, "Results")
    for name, figures in metrics["splits"].items():
        (row,) = re.findall(rf"^\| {name} \| (.*) \|$", text, re.MULTILINE)
        cells = row.split(" | ")
        ranges = intervals(figures["confusion"])
        for cell, metric in zip(cells, ("accuracy", "precision", "recall", "f1"), strict=False):
            low, high = ranges[metric] or (0, 0)
            assert cell == f"{100 * figures[metric]:.2f} % ({100 * low:.1f} to {100 * high:.1f})"
        assert cells[4:] == [f"{figures['loss']:.3f}", f"{figures['messages']}"]
    (right, alarms), (misses, hits) = metrics["splits"]["test"]["confusion"]
    assert f"| **true ham** | {right} | {alarms} |\n| **true spam** | {misses} | {hits} |" in text
    for plot in re.findall(r"!\[.+?\]\((.+?)\)", text):
        assert (runs["sample"] / plot).is_file()
    assert len(re.findall(r"!\[", text)) == 3


def test_the_confusion_is_that_of_the_figures(metrics: dict[str, Any]) -> None:
    for name, figures in metrics["splits"].items():
        (right, alarms), (misses, hits) = figures["confusion"]
        counts = metrics["data"]["counts"][name]
        assert (right + alarms, misses + hits) == (counts["ham"], counts["spam"])
        assert figures["accuracy"] == pytest.approx((right + hits) / figures["messages"])
        assert figures["recall"] == pytest.approx(hits / (misses + hits))


def test_metadata(card: str, metrics: dict[str, Any], hub: LoopbackHub) -> None:
    data = ModelCard(card).data
    assert (data.library_name, data.pipeline_tag, data.license, data.language) == (
        "transformers",
        "text-classification",
        "apache-2.0",
        "en",
    )
    assert data.base_model is None
    assert data.datasets == ["ucirvine/sms_spam"]
    name, results = model_index_to_eval_results(data.to_dict()["model-index"])
    assert name == "spam-filter"
    assert {result.metric_type: result.metric_value for result in results} == {
        metric: round(metrics["splits"]["test"][metric], 4) for metric in ("accuracy", "precision", "recall", "f1")
    }
    assert {result.dataset_split for result in results} == {"test"}
    shown = {entry["text"]: entry["output"][0]["label"] for entry in data.to_dict()["widget"]}
    assert shown == {example["text"]: example["label"] for example in metrics["examples"]}

    HfApi(token="hf_alice").create_repo(REPOSITORY)
    answer = get_session().post(f"{hub.url}/api/validate-yaml", json={"repoType": "model", "content": card}).json()
    assert answer == {"errors": [], "warnings": []}


def test_own_messages_from_a_gpt2(runs: dict[str, Path]) -> None:
    card = build_model_card(runs["own"], REPOSITORY)
    data = ModelCard(card).data
    assert (data.license, data.datasets, data.language, data.base_model) == (None, None, None, None)
    assert "Almeida" not in card
    assert "Singapore" not in card
    assert "Messages supplied by the person who trained the model." in card
    assert "Started from the weights in a local GPT-2 folder. Trained: last block," in card
    assert "All messages are used, without balancing the labels." in card
    assert "The model pads every text to 20 tokens" in card
    assert "messages in 100" not in card  # it was not balanced
    assert ModelCard(build_model_card(runs["own"], REPOSITORY, "cc0-1.0")).data.license == "cc0-1.0"


def test_near_duplicates_of_training_messages(card: str, metrics: dict[str, Any]) -> None:
    """How many, and the figures without them."""
    leak, found = metrics["data"]["leaks"]["test"], metrics["splits"]["test"]["without_twins"]
    assert leak["twins"] == leak["messages"] - found["messages"] > 0
    spam, all_ = leak["labels"]["spam"]
    said = f"{leak['twins']} of {leak['messages']} test messages are nearly the same as one in training ({spam} of {all_} spam)"
    assert said in section(card, "Data")
    assert re.search(
        rf"^\| test, new \| {100 * found['accuracy']:.2f} % .*\| {found['messages']} \|$", card, re.MULTILINE
    )


def test_where_a_calibrated_model_decides(runs: dict[str, Path], tmp_path: Path) -> None:
    """The promise, what it rests on, and the band of the unsure ones; nothing of it in another model's card."""
    assert "Where it decides" not in build_model_card(runs["sample"], REPOSITORY)
    folder = tmp_path / "run"
    shutil.copytree(runs["sample"], folder)
    point = OperatingPoint("spam", 1.5, 0.3, -2.0, 0.005, 0.95, 4000, 11, 0.0045, 0.947, 0.02)
    config = json.loads((folder / "config.json").read_text()) | {"operating_point": point.to_dict()}
    (folder / "config.json").write_text(json.dumps(config))
    record = json.loads((folder / "metrics.json").read_text())
    record["operating_point"] = {**point.to_dict(), "on": "5,572 messages out of fold"}
    (folder / "metrics.json").write_text(json.dumps(record))
    card = build_model_card(folder, REPOSITORY)
    text = " ".join(section(card, "Where it decides").split())
    for said in (
        "It calls a message spam from a score of 0.5 on.",
        "at most 0.5 % of other messages are blocked, with 95 % confidence",
        "It was chosen on 5,572 messages out of fold: of 4,000 groups",
        "11 were blocked (exact upper bound 0.45 %), and 94.7 % of spam was caught",
        "down to a score of 0.119, `SpamClassifier.decide` says `unsure`: at most 2 % of other messages",
    ):
        assert said in text
    assert "not a calibrated probability" not in card


def test_where_spam_is_rare(runs: dict[str, Path], metrics: dict[str, Any], tmp_path: Path) -> None:
    """Two false alarms in 100: 7.0 % at the interval's upper end; 5 × 0.99 / (5 × 0.99 + 95 × 0.070) is 0.43."""
    folder = tmp_path / "run"
    shutil.copytree(runs["sample"], folder)
    test = metrics["splits"]["test"] | {"confusion": [[98, 2], [1, 99]]}
    changed = metrics | {"splits": metrics["splits"] | {"test": test}}
    (folder / "metrics.json").write_text(json.dumps(changed))
    assert "Where only 5 messages in 100 are\n  spam, as few as 43 in 100" in build_model_card(folder, REPOSITORY)


@pytest.mark.parametrize("size", [None, "medium"])
def test_the_base_model_of_published_weights(runs: dict[str, Path], tmp_path: Path, size: str | None) -> None:
    folder = tmp_path / "run"
    shutil.copytree(runs["sample"], folder)
    options = json.loads((folder / "arguments.json").read_text())
    del options["model_size"]
    (folder / "arguments.json").write_text(
        json.dumps(options | {"weights": "hub"} | ({"model_size": size} if size else {}))
    )
    card = build_model_card(folder, REPOSITORY)
    base = f"openai-community/gpt2{'-medium' if size else ''}"
    assert (ModelCard(card).data.base_model, ModelCard(card).data.license) == (base, "mit")
    assert f"Started from GPT-2's weights ([{base}]" in card
    assert "@techreport{radford2019" in card
    assert "modified MIT licence" in card


def test_a_fact_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="metadata"):
        render("model_card.md", {})
