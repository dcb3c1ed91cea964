"""The scripts that are no command: the search behind the quickstart's recipe, and train.py's header for uv.

pytest tests/commands/test_scripts.py
"""

import re
import runpy
import tomllib

import pytest
from support.places import ROOT


@pytest.mark.slow
def test_a_slice_of_the_search(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One recipe, one fold, two steps; a row of the table comes of it."""
    search = runpy.run_path(str(ROOT / "scripts" / "search.py"))
    search["main"](search["make_parser"]().given(["--data_source", "sample", "--rows", "1", "--quick"]))
    head, line, row = capsys.readouterr().out.splitlines()
    assert head.count("|") == line.count("|") == row.count("|") == 10
    recipe = r"\| 256 × 2 \| 16 \| 0\.0005 \| 5 \| 0\.1 \| last"
    assert re.fullmatch(recipe + r" \| \d+\.\d\d% \| \d\.\d{3} \| 0\.000 \|", row)


@pytest.mark.parametrize("validation", [1, 128])
def test_folds_share_no_message_and_miss_none(validation: int) -> None:
    """The fold that judges is neither trained on nor asked which checkpoint is the best."""
    from datasets import Dataset

    search = runpy.run_path(str(ROOT / "scripts" / "search.py"))
    messages = Dataset.from_dict({"text": [str(number) for number in range(1194)], "label": [0] * 1194})
    folds = list(search["split_folds"](messages, validation))
    held_out = [text for fold in folds for text in fold["test"]["text"]]
    assert sorted(held_out) == sorted(messages["text"])
    for fold in folds:
        assert len(fold["validation"]) == validation
        assert sorted(text for split in fold.values() for text in split["text"]) == sorted(messages["text"])


def test_uv_finds_what_train_needs() -> None:
    """PEP 723: the header names this checkout and the extra that the quickstart needs."""
    text = (ROOT / "scripts" / "train.py").read_text()
    block = re.search(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$", text)
    assert block is not None
    header = tomllib.loads("".join(line[2:] or "\n" for line in block["content"].splitlines(keepends=True)))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert header["requires-python"] == project["requires-python"]
    assert header["dependencies"] == [f"{project['name']}[sample]"]
    source = header["tool"]["uv"]["sources"][project["name"]]["path"]
    assert (ROOT / "scripts" / source / "pyproject.toml").is_file()
