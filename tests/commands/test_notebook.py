"""scripts/chapter6.ipynb: complete, run as it stands, and it still says what it said.

pytest tests/commands/test_notebook.py
pytest -m notebook tests/commands/test_notebook.py

The first looks at the file; the second runs it in a kernel of its own, with nbclient, in two minutes.
"""

import ast
import copy
import hashlib
import importlib
import json
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from support.places import ROOT

import hf_spam
from hf_spam.equivalence.chapter import PLACES

NOTEBOOK = ROOT / "scripts" / "chapter6.ipynb"
LARGEST = 500_000  # bytes
TRAINS = "listing-6-10-scratch"  # the cell after which another processor's rounding shows

Cell = dict[str, Any]


@pytest.fixture(scope="module")
def notebook() -> dict[str, Any]:
    """The file."""
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def source(cell: Cell) -> str:
    """What a cell holds."""
    return "".join(cell["source"])


def code(notebook: dict[str, Any]) -> list[Cell]:
    """The cells that run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shown(cell: Cell) -> Iterator[tuple[str, str]]:
    """What a cell has put out: the kind and the text of each output. A picture is its kind alone.

    What is printed comes in as many pieces as the clock cuts it into, and is joined.
    """
    for (kind, name), pieces in groupby(cell["outputs"], lambda output: (output["output_type"], output.get("name"))):
        if kind == "stream":
            yield str(name), "".join("".join(piece["text"]) for piece in pieces)
            continue
        for output in pieces:
            yield from _data(output)


def _data(output: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if output["output_type"] == "error":
        yield "error", f"{output['ename']}: {output['evalue']}"
    else:
        for kind, data in output["data"].items():
            yield kind, "" if kind.startswith("image/") else "".join(data)


def faults(notebook: dict[str, Any]) -> list[str]:
    """What no output may hold: an error, a warning, anything on standard error, a path of the machine."""
    found = []
    for cell in code(notebook):
        for kind, text in shown(cell):
            path = re.search(r"(?:^|[\s'\"(=:])(?:/[\w.+-]+){2,}|\b[A-Z]:\\", text)
            if kind in ("stderr", "error") or "warn" in text.lower() or path:
                found.append(f"{cell['id']}: {text[:200]}")
    return found


# --- the file --------------------------------------------------------------------------------------------------------


def test_it_has_every_section_listing_figure_and_exercise(notebook: dict[str, Any]) -> None:
    prose = "\n".join(source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    sections = [heading.split()[0] for heading in headings if re.match(r"6\.\d ", heading)]
    assert sections == [f"6.{number}" for number in range(1, 9)]
    everything = "\n".join(map(source, notebook["cells"])).lower()
    for label in (place.label for place in PLACES):
        alone = label.startswith(("Listing", "Exercise"))
        there = label.lower() in everything or label in ("Figure 6.8", "Figure 6.13")
        assert any(label in re.split(r"[:,] | and ", heading) for heading in headings) if alone else there, label
    assert "6.8 and 6.13 are overviews" in prose


def test_its_links_resolve(notebook: dict[str, Any]) -> None:
    prose = "\n".join(source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    anchors = {heading.replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", prose, re.MULTILINE)}
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    assert targets
    for target in targets:
        assert target[1:] in anchors if target.startswith("#") else (NOTEBOOK.parent / target).is_file(), target


def test_what_it_imports_from_us_exists(notebook: dict[str, Any]) -> None:
    program = "\n".join(re.sub(r"^( *)%", r"\1#", source(cell), flags=re.MULTILINE) for cell in code(notebook))
    program = re.sub(r"^( +)#pip.*$", r"\1pass", program, flags=re.MULTILINE)
    seen = 0
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hf_spam":
            for alias in node.names:
                module = importlib.import_module(str(node.module))
                assert hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}")
                seen += 1
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "hf_spam":
            assert node.attr in hf_spam.__all__
            seen += 1
    assert seen > 20


def test_its_outputs_are_those_of_its_cells(notebook: dict[str, Any]) -> None:
    """Run from top to bottom, and not changed since: the last cell has put out a fingerprint of all that ran."""
    cells = code(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    fingerprint = hashlib.sha256("\n\n".join(map(source, cells)).encode()).hexdigest()[:16]
    assert dict(shown(cells[-1])) == {"stdout": f"cells {fingerprint}\n"}, "run it again: see scripts/README.md"


def test_its_outputs_are_fit_to_be_read(notebook: dict[str, Any]) -> None:
    assert faults(notebook) == []
    assert NOTEBOOK.stat().st_size <= LARGEST
    assert sum(kind == "image/png" for cell in code(notebook) for kind, _ in shown(cell)) >= 4
    for text in (text for cell in code(notebook) for kind, text in shown(cell) if kind in ("stdout", "text/plain")):
        assert text.count("\n") <= 25, text


def test_a_fault_in_an_output_is_found(notebook: dict[str, Any]) -> None:
    for kind, text in (
        ("stderr", "anything"),
        ("stdout", "UserWarning: old"),
        ("stdout", "saved to /home/me/x"),
        ("stdout", "C:\\me"),
    ):
        bent = copy.deepcopy(notebook)
        code(bent)[0]["outputs"] = [{"output_type": "stream", "name": kind, "text": [text]}]
        assert len(faults(bent)) == 1, text


def test_its_format(notebook: dict[str, Any]) -> None:
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    settings = next(source(cell) for cell in code(notebook) if cell["id"] == "settings")
    assert "GPT2 = False\n" in settings  # off: it needs a network


# --- it runs ---------------------------------------------------------------------------------------------------------


def differences(stored: dict[str, Any], fresh: dict[str, Any]) -> list[str]:
    """Where the outputs of two runs differ: a word or a whole number at all, other numbers by more than rounding.

    Rounding differs from processor to processor, and training magnifies it.
    """
    found, tolerance = [], 0.002
    for one, other in zip(code(stored), code(fresh), strict=True):
        if one["id"] == TRAINS:
            tolerance = 0.3
        outputs = [[(kind, *split_numbers(text)) for kind, text in shown(cell)] for cell in (one, other)]
        if [words[:2] for words in outputs[0]] != [words[:2] for words in outputs[1]]:
            found.append(f"{one['id']}: stored {outputs[0]}, found {outputs[1]}")
            continue
        for (_, _, before), (_, _, after) in zip(*outputs, strict=True):
            far = [pair for pair in zip(before, after, strict=True) if abs(pair[0] - pair[1]) > tolerance]
            found += [f"{one['id']}: stored {before:g}, found {after:g}" for before, after in far]
    return found


def split_numbers(text: str) -> tuple[str, list[float]]:
    """A text's words and whole numbers, and its decimal numbers, shares in % among them."""
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    numbers = re.findall(r"-?\d+\.\d+%?", text)
    values = [float(number[:-1]) / 100 if number.endswith("%") else float(number) for number in numbers]
    return " ".join(re.sub(r"-?\d+\.\d+%?", "#", text).split()), values


def test_a_difference_is_found(notebook: dict[str, Any]) -> None:
    assert differences(notebook, copy.deepcopy(notebook)) == []
    for id_, old, new in (
        ("listing-6-3-same", "✓ train", "train"),  # a word,
        ("listing-6-5-scratch", "112 batches", "113 batches"),  # a count,
        ("listing-6-6-checkpoint", "14,511", "14,512"),
        ("figure-6-15", "0.69", "0.68"),  # a figure before training,
        (TRAINS, "85.00%", "45.00%"),  # and after it
    ):
        bent = copy.deepcopy(notebook)
        [cell] = [cell for cell in code(bent) if cell["id"] == id_]
        [text] = [text for kind, text in shown(cell) if kind == "stdout"]
        assert old in text
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": [text.replace(old, new)]}]
        assert len(differences(notebook, bent)) == 1, id_
    code(bent)[-1]["outputs"] = []
    assert len(differences(notebook, bent)) == 2


@pytest.fixture(scope="module")
def execute() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Run a notebook in a fresh kernel, in the folder where it lies, and return it with its outputs."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")

    def run(notebook: dict[str, Any]) -> dict[str, Any]:
        node = nbformat.reads(json.dumps(notebook), as_version=4)
        nbformat.validate(node)
        resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
        nbclient.NotebookClient(node, timeout=500, kernel_name="python3", resources=resources).execute()
        return json.loads(nbformat.writes(node))

    return run


@pytest.mark.notebook
def test_it_runs_and_says_the_same(
    notebook: dict[str, Any], execute: Callable[[dict[str, Any]], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_SPAM_DATA", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = sorted(NOTEBOOK.parent.rglob("*"))
    cleared = copy.deepcopy(notebook)
    for cell in code(cleared):
        cell |= {"outputs": [], "execution_count": None}
    fresh = execute(cleared)
    assert differences(notebook, fresh) == []
    assert faults(fresh) == []
    assert sorted(NOTEBOOK.parent.rglob("*")) == before  # it left nothing behind


@pytest.mark.notebook
def test_what_is_missing_is_said_in_one_line(
    notebook: dict[str, Any], execute: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """A resource that is not there stops the notebook, without a traceback."""
    from nbclient.exceptions import CellExecutionError

    few = [
        cell for cell in code(notebook) if cell["id"] in ("install", "quiet", "setup", "errors", "listing-6-6-scratch")
    ]
    program = 'WEIGHTS = "nowhere"\n' + source(few[-1])
    cells = [*few[:-1], few[-1] | {"source": program}]
    with pytest.raises(CellExecutionError) as caught:
        execute({**notebook, "cells": cells})
    said = str(caught.value)
    assert "found no folder 'nowhere'." in said
    assert "Traceback" not in said


@pytest.mark.notebook
@pytest.mark.parametrize(
    ("missing", "clone", "repository", "installs"),
    [
        (False, True, "", None),
        (True, True, "", "..[sample]"),
        (True, False, "https://example.org/you/hf-spam", "hf-spam[sample] @ git+https://example.org/you/hf-spam"),
        (True, False, "", "error"),
    ],
)
def test_the_install_cell(
    missing: bool,
    clone: bool,
    repository: str,
    installs: str | None,
    notebook: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It installs only what is missing, and from where the notebook lies or the user says."""
    from IPython.core.inputtransformer2 import TransformerManager

    (tmp_path / "scripts").mkdir()
    monkeypatch.chdir(tmp_path / "scripts")
    if clone:
        (tmp_path / "pyproject.toml").touch()
    if missing:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    called = []

    class Shell:
        def run_line_magic(self, name: str, line: str) -> None:
            called.append((name, line))

    [cell] = [cell for cell in code(notebook) if cell["id"] == "install"]
    text = source(cell).replace('REPOSITORY = ""', f"REPOSITORY = {repository!r}")
    variables: dict[str, Any] = {"get_ipython": Shell}
    program = TransformerManager().transform_cell(text)
    if installs == "error":
        with pytest.raises(SystemExit, match=r"^hf_spam is not installed\. Set REPOSITORY above to .*\.$"):
            exec(program, variables)
        return
    exec(program, variables)
    assert [name for name, _ in called] == ([] if installs is None else ["pip"])
    if installs is not None:
        assert called[0][1] == 'install --quiet "{package}"'  # IPython puts the variable in
        assert variables["package"] == installs
