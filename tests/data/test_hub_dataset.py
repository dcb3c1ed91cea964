"""Data sets of the Hub by name: the rows that are there, or one line.   pytest tests/data/test_hub_dataset.py"""

from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from huggingface_hub import HfApi
from support.loopback_hub import LoopbackHub
from support.public_shapes import MESSAGES

from hf_spam import UserError
from hf_spam.data import sources
from hf_spam.data.arguments import DataArguments
from hf_spam.data.hub_dataset import fetch, load_hub_dataset
from hf_spam.data.loading import prepare
from hf_spam.data.sampling import prepare_splits
from hf_spam.data.splits import fingerprint
from hf_spam.tables.table import Table, open_table

# The client's upload; what is tested is the download.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")

Run = Callable[..., tuple[int, str, str]]
IDS = [(int(label == "spam"), text + "\n") for label, text in MESSAGES]


def rows(table: Table) -> list[tuple[object, str]]:
    return [(table.label(row), table.text(place, row)) for place, row in table.rows()]


@pytest.fixture
def on_hub(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LoopbackHub:
    """The Hub, for `datasets` too, with a data set of the shape of ucirvine/sms_spam."""
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", hub.url)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "USE_PARQUET_EXPORT", False)  # a service of the Hub that is not on loopback
    features = Features({"sms": Value("string"), "label": ClassLabel(names=["ham", "spam"])})
    data = Dataset.from_dict({"sms": [text for _, text in IDS], "label": [id_ for id_, _ in IDS]}, features=features)
    data.to_parquet(tmp_path / "train.parquet")
    card = "---\nconfigs:\n- config_name: plain_text\n  data_files:\n  - split: train\n    path: plain_text/train-*\n  default: true\n---\n"  # fmt: skip
    api = HfApi(endpoint=hub.url, token="hf_alice")
    api.create_repo("alice/sms_spam", repo_type="dataset")
    for name, content in (("plain_text/train-00000-of-00001.parquet", str(tmp_path / "train.parquet")), ("README.md", card.encode())):  # fmt: skip
        api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id="alice/sms_spam", repo_type="dataset")
    return hub


def test_the_shape_of_sms_spam(on_hub: LoopbackHub, tmp_path: Path) -> None:
    tables = load_hub_dataset("alice/sms_spam")
    assert list(tables) == ["train"]
    assert rows(tables["train"]) == IDS
    assert tables["train"].label_names == ["ham", "spam"]
    assert rows(load_hub_dataset("alice/sms_spam", config="plain_text", split="train[:3]", revision="main")["all"]) == IDS[:3]  # fmt: skip
    name = "hf://datasets/alice/sms_spam{}/plain_text/train-00000-of-00001.parquet"
    for revision in ("", "@main"):
        assert rows(open_table(fetch(name.format(revision)))) == IDS


def test_the_chapter_by_name(on_hub: LoopbackHub, collection: Path, tmp_path: Path) -> None:
    """The rows of UCI's file, the same splits, the same fingerprint."""
    frame = sources.read_file(collection)
    ids = [int(label == "spam") for label in frame["Label"]]
    features = Features({"sms": Value("string"), "label": ClassLabel(names=["ham", "spam"])})
    data = Dataset.from_dict({"sms": frame["Text"].tolist(), "label": ids}, features=features)
    data.to_parquet(tmp_path / "whole.parquet")
    api = HfApi(endpoint=on_hub.url, token="hf_alice")
    api.create_repo("alice/whole", repo_type="dataset")
    api.upload_file(path_or_fileobj=str(tmp_path / "whole.parquet"), path_in_repo="data/train-00000-of-00001.parquet", repo_id="alice/whole", repo_type="dataset")  # fmt: skip
    expected = fingerprint(prepare_splits(frame))
    by_file = "hf://datasets/alice/whole/data/train-00000-of-00001.parquet"
    for arguments in (DataArguments(dataset_name="alice/whole"), DataArguments(data_file=by_file)):
        prepared = prepare(arguments)
        assert fingerprint(prepared.splits) == expected
        assert (prepared.source, prepared.given) == ("uci", False)


@pytest.mark.slow
def test_train_and_evaluate_by_name(on_hub: LoopbackHub, run: Run, tmp_path: Path) -> None:
    """The record says which data set; a stranger's record is not followed."""
    short = ["--weights", "random", "--model_size", "tiny", "--context_length", "64", "--max_steps", "1"]
    short += ["--per_device_train_batch_size", "2"]
    name = ["--dataset_name", "alice/sms_spam", "--balance", "none", "--split", "stratified"]
    code, out, err = run("train", *name, *short, "--output_dir", tmp_path / "run")
    assert code == 0, err
    assert "note   alice/sms_spam: 8 rows; columns: texts sms; labels label" in out
    code, out, err = run("evaluate", tmp_path / "run")
    assert code == 0, err
    assert "read alice/sms_spam, which arguments.json" in err
    assert run("push", tmp_path / "run", "alice/model")[0] == 0
    api = HfApi(endpoint=on_hub.url, token="hf_alice")
    record = api.hf_hub_download("alice/model", "arguments.json", local_dir=tmp_path / "record")
    assert '"dataset_name": "alice/sms_spam"' in Path(record).read_text()
    code, _, err = run("evaluate", "alice/model")
    assert code == 2
    assert "its arguments.json names a data set, which is not read. Name --data_file or --dataset_name." in err
    assert run("evaluate", "alice/model", "--dataset_name", "alice/sms_spam")[0] == 0


@pytest.mark.slow
def test_our_own_pushed_set(on_hub: LoopbackHub, run: Run, tmp_path: Path) -> None:
    """What `hf-spam data --push` sends comes back."""
    assert run("data", "--data_source", "sample", "--push", "alice/sms", "--output_dir", tmp_path / "splits")[0] == 0
    saved = DatasetDict.load_from_disk(str(tmp_path / "splits" / "dataset"))
    tables = load_hub_dataset("alice/sms")
    assert list(tables) == ["train", "validation", "test"]
    for name, table in tables.items():
        assert rows(table) == list(zip(saved[name]["label"], saved[name]["text"], strict=True))
        assert table.label_names == ["ham", "spam"]


def test_refusals(on_hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, without a token."""
    api = HfApi(endpoint=on_hub.url, token="hf_alice")
    api.create_repo("alice/script", repo_type="dataset")
    api.upload_file(path_or_fileobj=b"open('/tmp/ran', 'w')", path_in_repo="script.py", repo_id="alice/script", repo_type="dataset")  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alice" / "here").mkdir(parents=True)
    cases: list[tuple[dict[str, str], str]] = [
        ({"name": "alice/none"}, "could not load the data set alice/none from the Hugging Face Hub: "),
        ({"name": "alice/sms_spam", "config": "other"}, "plain_text"),
        ({"name": "alice/sms_spam", "split": "test"}, "train"),
        ({"name": "alice/sms_spam", "revision": "v9"}, "could not load"),
        ({"name": "alice/sms_spam", "text_column": "body"}, "expected a column 'body', found columns: sms, label"),
        ({"name": "alice/script"}, "could not load"),
        ({"name": "csv"}, "expected OWNER/NAME, found 'csv'"),
        ({"name": "alice/here"}, "Give it with --data_dir"),
    ]
    for arguments, message in cases:
        with pytest.raises(UserError) as error:
            load_hub_dataset(**arguments)  # type: ignore[arg-type]
        assert message in str(error.value)
        assert "\n" not in str(error.value)
        assert "hf_alice" not in str(error.value)
    for url in ("hf://datasets/alice/sms_spam", "hf://alice/sms_spam/a.csv", "hf://datasets/alice/sms_spam/*.csv"):
        with pytest.raises(UserError, match="with the name of one file"):
            fetch(url)
    with pytest.raises(UserError, match=r"could not load hf://datasets/alice/sms_spam/none\.csv"):
        fetch("hf://datasets/alice/sms_spam/none.csv")
