"""`hf-spam data --audit`, by the command itself.

pytest tests/audit/test_audit_command.py
"""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from hf_spam.data.sources import read_file

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def messages_file(tmp_path: Path) -> Path:
    rows = [("ham" if row % 2 else "spam", f"{'abcdefghijkl'[row] * 9} message") for row in range(12)]
    rows += [rows[0], ("ham", rows[2][1]), ("spam", "\x1b[31mred\x07 alert")]
    pd.DataFrame(rows, columns=["label", "text"]).to_csv(tmp_path / "messages.csv", index=False)
    return tmp_path / "messages.csv"


@pytest.mark.usefixtures("without_extra")
@pytest.mark.parametrize("report", ["report.md", "report.json"])
def test_an_audit(run: Run, messages_file: Path, tmp_path: Path, report: str) -> None:
    cleaned = tmp_path / "new" / "cleaned.csv"
    report_file = tmp_path / report
    argv = ["--audit", "--audit_report", report_file, "--cleaned", cleaned]
    code, out, err = run("data", "--data_file", messages_file, *argv)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "audit     15 messages: 7 ham + 8 spam"
    assert out.splitlines()[1].startswith(f"source    {messages_file}: 15 rows; columns: texts text")
    assert "exact duplicates: 2 rows in 1 group\n  rows 1, 13: " in out
    assert "the same text with different labels: 2 rows in 1 group\n  rows 3 spam, 14 ham: " in out
    assert "control characters: 1 row\n  row 15: \\x1b: " in out
    assert "\x1b" not in out
    assert "12 rows remain; left out: row 13 (repeats of an earlier row), and 2 rows: 3, 14 (their text has" in out
    assert len(read_file(cleaned)) == 12
    text = report_file.read_text(encoding="utf-8")
    if report.endswith(".json"):
        found = json.loads(text)
        assert found["cleaned"] == {"rows": 12, "duplicates": [13], "conflicts": [3, 14]}
        assert {finding["name"]: finding["groups"] for finding in found["findings"]}["exact duplicates"] == [[1, 13]]
    else:
        assert "## exact duplicates: 2 rows in 1 group" in text
        assert "Left out as conflicts: 3, 14" in text
    code, out, err = run("data", "--data_file", messages_file, *argv)
    assert (code, out) == (2, "")
    assert err.endswith("exists already, and nothing is overwritten. Choose another --audit_report.\n")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--cleaned", "a.csv"], "--cleaned: expected --audit beside it. Add --audit."),
        (["--audit", "--conflicts", "keep"], "--conflicts: expected --cleaned beside it. Add --cleaned FILE."),
        (["--audit", "--output_dir", "splits"], "expected nothing to be split, found --output_dir. Run it without"),
        (["--audit", "--push", "me/mine"], "expected nothing to be split, found --push. Run it without --audit"),
        (["--audit", "--audit_report", "a.pdf"], "--audit_report a.pdf: expected a name that ends in .md or .json."),
        (["--audit", "--bpe_dir", "nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_do_not_go_together(run: Run, messages_file: Path, argv: list[str], message: str) -> None:
    code, out, err = run("data", "--data_file", messages_file, *argv)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert sorted(path.name for path in messages_file.parent.iterdir()) == ["messages.csv"]


@pytest.mark.usefixtures("without_extra")
def test_splits_are_not_audited(run: Run, few_messages: Path, tmp_path: Path) -> None:
    """The remedy works when it is followed."""
    assert run("data", "--data_file", few_messages, "--output_dir", tmp_path / "splits")[0] == 0
    code, _, err = run("data", "--data_dir", tmp_path / "splits", "--audit")
    assert code == 2
    assert err.endswith("found --data_dir. Name its files as --data_file.\n")
    assert run("data", "--data_file", tmp_path / "splits" / "train.csv", "--audit")[0] == 0


@pytest.mark.slow
def test_the_collection(run: Run, collection: Path, tmp_path: Path) -> None:
    code, out, _ = run("data", "--data_file", collection, "--audit", "--cleaned", tmp_path / "cleaned.jsonl")
    assert code == 0
    assert "exact duplicates: 684 rows in 281 groups" in out
    assert "5,169 rows remain; left out: 403 rows: 104, 155," in out
    assert "damaged encoding: 35 rows" in out
