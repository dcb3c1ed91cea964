"""What `evaluate` takes from a checkpoint's own record, and what not.   pytest tests/evaluation/test_report.py"""

import json
from pathlib import Path
from typing import Any

import pytest

from hf_spam import SpamGPTConfig, UserError
from hf_spam.data.arguments import DataArguments
from hf_spam.data.loading import load_splits
from hf_spam.data.splits import fingerprint
from hf_spam.evaluation.report import choose_messages, recorded_options


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint's folder that records a file of messages, without the checkpoint."""
    rows = "".join(f"{'ham' if n % 2 else 'spam'},text {n}\n" for n in range(60))
    (tmp_path / "mine.csv").write_text(f"label,text\n{rows}")
    write(tmp_path, data_file=str(tmp_path / "mine.csv"))
    return tmp_path


def write(folder: Path, **options: Any) -> None:
    (folder / "arguments.json").write_text(json.dumps(options))


def choose(folder: Path, **options: Any) -> str:
    return choose_messages(str(folder), folder, SpamGPTConfig(id2label={0: "ham", 1: "spam"}), options).name


def test_what_was_read_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert choose(folder) == "the test split"
    assert f"read {folder / 'mine.csv'}, which arguments.json of {folder} names" in capsys.readouterr().err
    assert choose(folder, data_file=str(folder / "mine.csv")) == "all messages"
    assert capsys.readouterr().err == ""


def test_only_options_of_the_data(folder: Path) -> None:
    write(
        folder, data_source="sample", cache_dir="/tmp/x", bpe_dir="/tmp/y", output_dir="/tmp/z", seed=5, split_seed=6
    )
    assert recorded_options(str(folder), folder) == {"data_source": "sample", "split_seed": 6}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_file": 5}, "--data_file: expected a text, found a number"),
        (
            {"data_file": ["a", "--output_dir"]},
            "--data_file: expected a list of values, found one that begins with a dash",
        ),
        ({"data_dir": {"a": 1}}, "--data_dir: expected a single value, found a mapping"),
        ({"data_source": "elsewhere"}, "invalid choice: 'elsewhere'"),
        ({"data_source": "sample", "split_seed": "x"}, "invalid int value: 'x'"),
        ({"data_source": "sample", "balance": 7}, "--balance"),
        ({"data_source": "sample", "data_file": "a.csv"}, "expected one of --data_source, --data_file, --data_dir"),
    ],
)
def test_records_with_other_values(folder: Path, options: dict[str, Any], message: str) -> None:
    write(folder, **options)
    with pytest.raises(UserError) as error:
        choose(folder)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["data_file", "data_dir"])
def test_a_download_names_no_file_of_this_machine(folder: Path, name: str) -> None:
    write(folder, **{name: str(folder / "mine.csv")})
    with pytest.raises(UserError, match=r"names a file on its author's machine, which is not read\. Name --data_file"):
        choose_messages("someone/model", folder, SpamGPTConfig(), {})
    write(folder, data_source="sample")
    assert recorded_options("someone/model", folder) == {"data_source": "sample"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "expected a text 'fingerprint' under 'data', found none"),
        ('{"data": 5}', "expected a text 'fingerprint' under 'data', found none"),
        ('{"data": {"fingerprint": null}}', "expected a text 'fingerprint' under 'data', found none"),
        ("[]", "expected a JSON object, found a list"),
        ("", "metrics.json: expected JSON"),
        ('{"data": {"fingerprint": "x"}}', "its data has changed since it was trained"),
    ],
)
def test_figures_that_say_something_else(folder: Path, content: str, message: str) -> None:
    (folder / "metrics.json").write_text(content)
    with pytest.raises(UserError) as error:
        choose(folder)
    assert message in str(error.value)


def test_figures_of_these_splits(folder: Path) -> None:
    found = fingerprint(load_splits(DataArguments(data_file=str(folder / "mine.csv"))))
    (folder / "metrics.json").write_text(json.dumps({"data": {"fingerprint": found}}))
    assert choose(folder) == "the test split"
