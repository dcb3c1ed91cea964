"""Absurd values for every option of every command.   pytest tests/values/test_strange_options.py (-m slow: real runs)"""

import warnings
from pathlib import Path

import pytest
from support import strange_options
from support.warm_process import WarmProcess

from hf_spam.commands import COMMANDS

RUNS = 40  # of the sample


# `search` builds the options of every setting it may try: twenty seconds.
@pytest.mark.parametrize(
    "command", [pytest.param(it, marks=pytest.mark.slow) if it == "search" else it for it in COMMANDS]
)
def test_accepted_or_refused_by_name(command: str, tmp_path: Path) -> None:
    """Before any work, and never by another error."""
    file = tmp_path / "file"
    file.write_text("x")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' own, of deprecated options
        accepted, wrong = strange_options.try_all(command, file, tmp_path, file / "below")
    assert wrong == []
    tried = sum(1 for _ in strange_options.pairs(command, file, tmp_path, file / "below"))
    assert tried > len(accepted) or tried == 0


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_a_sample_of_real_runs(warm: WarmProcess, few_messages: Path, tmp_path: Path) -> None:
    """Exit 0 or 2, no traceback, no hang. The campaign in support/strange_options.py runs all."""
    runs = strange_options.trainers_runs(few_messages)
    codes, wrong = strange_options.sweep(warm, few_messages, tmp_path, runs[:: len(runs) // RUNS])
    assert wrong == []
    assert codes[0] > RUNS // 2
