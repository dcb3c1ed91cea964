"""The chapter, listing by listing: every name exists, every command parses, the README's table is the program's.

pytest tests/equivalence/test_chapter.py
"""

import importlib
import re
import shlex

import pytest
from support.places import ROOT

from hf_spam.equivalence.chapter import BY_LABEL, PLACES, Place, locate

ROOM = ROOT / "hf_spam" / "equivalence"


def link(name: str) -> str:
    """A cell of the README's table, as it links to the file from there."""
    module, _, path = name.partition(":")
    file = ROOT / "hf_spam" / f"{module.replace('.', '/')}.py"
    target = file.relative_to(ROOM) if file.parent == ROOM else f"../{file.relative_to(ROOT / 'hf_spam')}"
    return f"[`{file.stem}.{path}`]({target})"


def test_the_table_has_everything_in_order() -> None:
    labels = [place.label for place in PLACES]
    expected = [f"Listing 6.{number}" for number in range(1, 13)]
    assert [label for label in labels if label.startswith("Listing")] == expected
    figures = [f"Figure 6.{number}" for number in range(5, 18)]
    assert [label for label in labels if label.startswith("Figure")] == figures
    assert labels[-3:] == [f"Exercise 6.{number}" for number in (1, 2, 3)]
    assert len(BY_LABEL) == len(labels) == 12 + 13 + 3


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.label)
def test_every_name_exists_where_it_is_said_to_be(place: Place) -> None:
    for name in (place.native, place.hugging_face):
        file, _, rest = locate(name).partition(":")
        line, _, path = rest.partition(" ")
        source = (ROOT / file).read_text(encoding="utf-8").splitlines()
        beginning = "\n".join(source[int(line) - 1 : int(line) + 3])  # a decorator may stand above it
        assert re.search(rf"^ *(?:def|class) {path.split('.')[-1]}\b", beginning, re.MULTILINE), name


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.label)
def test_every_command_parses(place: Place) -> None:
    program, command, *words = shlex.split(place.command)
    assert program == "hf-spam"
    assert importlib.import_module(f"hf_spam.commands.{command}").parse(words)


def test_the_readme_has_the_same_table() -> None:
    text = (ROOM / "README.md").read_text(encoding="utf-8")
    found = [line for line in text.splitlines() if re.match(r"\| (Listing|Figure|Exercise) ", line)]
    assert found == [
        f"| {place.label} | {place.subject} | {link(place.native)} | {link(place.hugging_face)} | `{place.command}` |"
        for place in PLACES
    ]
