"""Labels, texts and records that try to say something else in a card.   pytest tests/hub/test_card_injection.py"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from support.strange_folders import write_run
from support.strange_texts import CONTROLS, STRANGE_MARKUP

from hf_spam import UserError
from hf_spam.hub.cards import plain, to_json
from hf_spam.hub.model_card import build_model_card

TEXTS = [
    pytest.param(text, marks=pytest.mark.slow if number % 3 else [])
    for number, text in enumerate(text for text in STRANGE_MARKUP if text.strip() and len(text) < 1000)
]


@pytest.fixture(scope="module")
def run_folder(tiny_run: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    write_run(folder, tiny_run("sample"))
    return folder


def shape(card: str) -> tuple[list[str], int, int, int]:
    """What a reader sees first below the metadata: headings, fences, table rows, images."""
    card = card.split("\n---\n", 1)[1]
    return (
        re.findall(r"^#+ .+$", card, re.MULTILINE),
        card.count("```"),
        len(re.findall(r"^\|", card, re.MULTILINE)),
        card.count("!["),
    )


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all texts in a JSON value."""
    if isinstance(value, str):
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from leaves(item, (*path, key))


def planted(value: Any, path: tuple[Any, ...], text: str) -> Any:
    """The value with a text in this place."""
    copy = json.loads(json.dumps(value))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = text
    return copy


def check(card: str, plain_card: str, but: tuple[str, ...] = ("widget",)) -> None:
    """The card says all that the other says, and nothing else."""
    assert shape(card) == shape(plain_card)
    assert not (CONTROLS - {"\n"}) & set(card)
    data, expected = ModelCard(card).data.to_dict(), ModelCard(plain_card).data.to_dict()
    assert {name: value for name, value in data.items() if name not in but} == {
        name: value for name, value in expected.items() if name not in but
    }
    header = card.split("\n---\n")[0].removeprefix("---\n")
    assert set(yaml.safe_load(header)) == set(expected)
    outside = re.sub(r"```.*?```", "", card.split("\n---\n", 1)[1], flags=re.DOTALL)
    assert not re.search(r"<(?!\|)[a-z!/]|\]\(http://127", outside)


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_of_the_record(run_folder: Path, tmp_path: Path, text: str) -> None:
    folder, record = tmp_path / "run", json.loads((run_folder / "metrics.json").read_text())
    shutil.copytree(run_folder, folder, ignore=shutil.ignore_patterns("checkpoint-*"))
    plain_card = build_model_card(folder, "alice/spam")
    for path in [*leaves(record)]:
        if path != ("data", "source"):  # it decides which sections there are
            record = planted(record, path, text)
    (folder / "metrics.json").write_text(json.dumps(record))
    check(build_model_card(folder, "alice/spam"), plain_card)


@pytest.mark.parametrize("text", TEXTS)
def test_a_label(run_folder: Path, tmp_path: Path, text: str) -> None:
    cards = []
    for label in ("other", text):  # the card of ham and spam says more
        folder = tmp_path / f"run {len(cards)}"
        shutil.copytree(run_folder, folder, ignore=shutil.ignore_patterns("checkpoint-*"))
        config, record = (json.loads((folder / name).read_text()) for name in ("config.json", "metrics.json"))
        config["id2label"]["1"] = label
        config["label2id"] = {"ham": 0, label: 1}
        for counts in record["data"]["counts"].values():
            counts[label] = counts.pop("spam")
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "metrics.json").write_text(json.dumps(record))
        cards.append(build_model_card(folder, "alice/spam"))
    plain_card, card = cards
    check(card, plain_card)


@pytest.mark.parametrize("text", TEXTS)
def test_an_option_and_a_license(run_folder: Path, tmp_path: Path, text: str) -> None:
    folder, options = tmp_path / "run", json.loads((run_folder / "arguments.json").read_text())
    shutil.copytree(run_folder, folder, ignore=shutil.ignore_patterns("checkpoint-*"))
    plain_card = build_model_card(folder, "alice/spam")
    (folder / "arguments.json").write_text(json.dumps({**options, "run_name": text, "note": [{"a": text}]}))
    card = build_model_card(folder, "alice/spam", license=text)
    check(card, plain_card, but=("widget", "license"))
    assert ModelCard(card).data.license is not None


PLACES = [
    ("splits",),
    ("splits", "test"),
    ("splits", "test", "confusion"),
    ("data",),
    ("data", "counts"),
    ("training",),
]
PLACES += [("training", "options"), ("training", "epochs"), ("training", "steps"), ("environment",), ("examples", 0)]


@pytest.mark.parametrize("path", PLACES, ids=str)
@pytest.mark.parametrize("value", [None, "x", []])
def test_a_value_of_another_type(run_folder: Path, tmp_path: Path, path: tuple[Any, ...], value: Any) -> None:
    folder, record = tmp_path / "run", json.loads((run_folder / "metrics.json").read_text())
    shutil.copytree(run_folder, folder, ignore=shutil.ignore_patterns("checkpoint-*"))
    (folder / "metrics.json").write_text(json.dumps(planted(record, path, value)))
    with pytest.raises(UserError, match="expected a record written by this version of hf_spam"):
        build_model_card(folder, "alice/spam")


@given(st.text())
def test_any_text_is_plain(text: str) -> None:
    shown = plain(text)
    assert not CONTROLS & set(shown)
    assert not re.search(r"[`|<>*\[\]\\~!{}$]|&(?!#\d+;)", shown)
    assert plain("spam and ham 1.5") == "spam and ham 1.5"


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10))
def test_any_json_stays_in_its_fence(value: Any) -> None:
    text = to_json(value)
    assert json.loads(text) == value
    assert "```" not in text
    assert len(text.splitlines()) == text.count("\n") + 1
