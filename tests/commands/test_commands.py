"""The command line as a user meets it: the whole way through, and everything that can go wrong on it.

pytest tests/commands/test_commands.py
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from support.loopback_server import LoopbackServer, serve_repository
from support.places import ROOT
from support.warm_process import WarmProcess
from transformers import AutoTokenizer, pipeline

from hf_spam import SpamClassifier
from hf_spam.inference.classifier import EXAMPLES
from hf_spam.system.manifest import check_manifest

Run = Callable[..., tuple[int, str, str]]
Process = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def short(gpt2_folder: Path) -> list[str]:
    """Options for a run of a second: a very small model, two epochs."""
    options = ["--weights", str(gpt2_folder), "--trainable", "all", "--learning_rate", "1e-3"]
    return [*options, "--num_train_epochs", "2", "--disable_tqdm", "true"]


@pytest.fixture(scope="session")
def checkpoints(tiny_run: Callable[[str], Path]) -> dict[str, Path]:
    """A checkpoint of each pooling rule, trained by the real command in a process of its own."""
    return {pooling: tiny_run(pooling) for pooling in ("last_token", "last_position")}


@pytest.fixture
def hf_spam(warm: WarmProcess, tmp_path: Path) -> Process:
    """`hf-spam` in a process of its own, in an empty folder."""
    (tmp_path / "work").mkdir()
    return lambda *argv, **more: warm.call(argv, tmp_path / "work", **more)


# --- the whole way --------------------------------------------------------------------------------------------------


def test_what_a_run_leaves(checkpoints: dict[str, Path]) -> None:
    for folder in checkpoints.values():
        assert {path.name for path in folder.iterdir()} == {
            "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
            "configuration_spam_gpt.py", "fields_spam_gpt.py", "gpt.py", "layers_spam_gpt.py", "pooling_spam_gpt.py", "backbone_spam_gpt.py", "modeling_spam_gpt.py",
            "arguments.json", "metrics.json", "manifest.json",
            "loss-plot.pdf", "loss-plot.png", "accuracy-plot.pdf", "accuracy-plot.png",
            "confusion-plot.pdf", "confusion-plot.png",
        }  # fmt: skip
        assert {path.name for path in folder.parent.iterdir()} == {folder.name}
        metrics = json.loads((folder / "metrics.json").read_text())
        assert list(metrics["splits"]) == ["train", "validation", "test"]
        for figures in metrics["splits"].values():
            figures.pop("without_twins", None)
            assert set(figures) == {"accuracy", "precision", "recall", "f1", "loss", "messages", "confusion"}
        assert [example["text"] for example in metrics["examples"]] == list(EXAMPLES)
        assert metrics["training"]["steps"] == 22
        assert metrics["training"]["trained_parameters"] == metrics["training"]["parameters"]
        assert metrics["environment"]["torch"] == torch.__version__
        assert metrics["history"]["examples_seen"] == 176
        config = json.loads((folder / "config.json").read_text())
        assert config["id2label"] == {"0": "ham", "1": "spam"}


def test_evaluate_repeats_the_runs_own_figures(run: Run, checkpoints: dict[str, Path]) -> None:
    for folder in checkpoints.values():
        metrics = json.loads((folder / "metrics.json").read_text())
        for split, figures in metrics["splits"].items():
            code, out, _ = run("evaluate", folder, "--split", split)
            lines = out.splitlines()
            assert code == 0
            assert lines[0] == f"{folder} on the {split} split, {figures['messages']} messages"
            assert lines[1] == "  ".join(
                [f"{name} {figures[name]:.2%}" for name in ("accuracy", "precision", "recall", "f1")]
                + [f"loss {figures['loss']:.3f}"]
            )
            counts = [int(word) for line in lines[3:] for word in line.split()[2:]]
            assert sum(counts) == figures["messages"]
            assert (counts[0] + counts[3]) / sum(counts) == pytest.approx(figures["accuracy"])


def test_evaluate_on_a_file(run: Run, checkpoints: dict[str, Path], few_messages: Path) -> None:
    code, out, _ = run("evaluate", checkpoints["last_token"], "--data_file", few_messages)
    assert code == 0
    assert "on all messages, 130 messages" in out
    code, out, _ = run("evaluate", checkpoints["last_token"], "--split", "all")
    assert "on all messages, 130 messages" in out


@pytest.mark.slow  # a training by itself
def test_evaluate_notices_other_data(short: list[str], run: Run, tmp_path: Path, few_messages: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text(few_messages.read_text())
    assert run("train", "--data_file", mine, *short, "--max_steps", "1", "--output_dir", tmp_path / "run")[0] == 0
    mine.write_text(few_messages.read_text() + "ham,one more\nspam,and another\n")
    code, _, err = run("evaluate", tmp_path / "run")
    assert code == 2
    assert "its data has changed since it was trained" in err
    mine.unlink()
    assert run("evaluate", tmp_path / "run")[2] == f"hf-spam: error: {mine}: no such file.\n"


@pytest.mark.parametrize("pooling", ["last_token", "last_position"])
def test_pipeline_and_classifier_and_command_agree(
    checkpoints: dict[str, Path], few_messages: Path, pooling: str, run: Run
) -> None:
    folder = checkpoints[pooling]
    texts = [*EXAMPLES, *pd.read_csv(few_messages)["Text"].head(30), "", "a\tb", "<|endoftext|>"]
    classifier = SpamClassifier.from_pretrained(folder, token_budget=100)
    expected = classifier(texts)
    classify = pipeline("text-classification", model=str(folder))
    for batch_size in (1, 8):
        found = classify([text or " " for text in texts], batch_size=batch_size, truncation=True)
        for text, ours, theirs in zip(texts, expected, found, strict=True):
            if text:  # the pipeline cannot batch an empty text, ours can
                assert theirs["label"] == ours.label
                assert theirs["score"] == pytest.approx(ours.score, abs=1e-5)
    code, out, _ = run("predict", folder, *texts)
    assert code == 0
    for line, text, ours in zip(out.splitlines(), texts, expected, strict=True):
        assert line == f"{ours.label}\t{ours.score:.4f}\t" + text.replace("\t", " ")


@pytest.mark.slow
def test_a_fresh_process_needs_one_import(checkpoints: dict[str, Path]) -> None:
    program = (
        "import sys, hf_spam\n"
        "from transformers import pipeline\n"
        "classify = pipeline('text-classification', model=sys.argv[1])\n"
        "print(classify('You are a winner')[0]['label'])\n"
    )
    found = subprocess.run([sys.executable, "-c", program, checkpoints["last_token"]], capture_output=True, text=True)
    assert found.stdout.strip() in ("ham", "spam"), found.stderr


@pytest.mark.slow
def test_without_the_package(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """In a process that never imports hf_spam: the tokenizer needs no remote code, the pipeline runs the copied code.

    Standard input is closed: nothing may ask a question.
    """
    program = (
        "import sys\n"
        "from transformers import AutoTokenizer, pipeline\n"
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=False)\n"
        "print(tokenizer('<|endoftext|>')['input_ids'], tokenizer.model_max_length)\n"
        "classify = pipeline('text-classification', model=sys.argv[1], trust_remote_code=True)\n"
        "print(classify('You are a winner')[0])\n"
        "assert 'hf_spam' not in sys.modules\n"
    )
    for folder in checkpoints.values():
        found = subprocess.run(
            [sys.executable, "-c", program, folder],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, "HF_HOME": str(tmp_path)},
        )
        assert found.returncode == 0, found.stderr
        tokens, scored = found.stdout.splitlines()
        assert tokens.startswith("[27, 91, 437, 1659, 5239, 91, 29] ")
        (expected,) = SpamClassifier.from_pretrained(folder)(["You are a winner"])
        assert scored == str({"label": expected.label, "score": expected.score})


def test_predict_reads_standard_input(checkpoints: dict[str, Path], hf_spam: Process) -> None:
    folder = checkpoints["last_token"]
    lines = ["You are a winner", "", "caf\u00e9 at 8?", "last, without a newline"]
    result = hf_spam("predict", folder, stdin="\n".join(lines))
    assert result.returncode == 0
    assert [line.split("\t")[2] for line in result.stdout.splitlines()] == lines
    expected = SpamClassifier.from_pretrained(folder)(lines)
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == [item.label for item in expected]
    assert hf_spam("predict", folder, stdin="").stdout == ""


def test_a_reader_that_goes_away(checkpoints: dict[str, Path], warm: WarmProcess, tmp_path: Path) -> None:
    (tmp_path / "many").write_text("hello\n" * 20_000)
    _, line, errors = warm.first_line(["predict", checkpoints["last_token"]], tmp_path, tmp_path / "many")
    assert line.endswith("\thello\n")
    assert errors == ""


def test_the_pipeline_on_a_text_longer_than_the_context(checkpoints: dict[str, Path]) -> None:
    classify = pipeline("text-classification", model=str(checkpoints["last_token"]))
    with pytest.raises(
        ValueError, match="expected texts of at most 64 tokens, found one of 500: pass truncation=True"
    ):
        classify("win " * 499)
    assert classify("win " * 499, truncation=True)[0]["label"] in ("ham", "spam")


def test_a_text_longer_than_the_context_warns_once(
    run: Run, checkpoints: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    long = "win " * 500
    code, out, _ = run("predict", checkpoints["last_token"], long, "hi", long)
    assert code == 0
    assert len(out.splitlines()) == 3
    assert [record.getMessage() for record in caplog.records if record.name.startswith("hf_spam")] == [
        "2 of 3 texts have more than 64 tokens and were cut to that length"
    ]


def test_data_command(short: list[str], run: Run, few_messages: Path, tmp_path: Path) -> None:
    code, out, _ = run("data", "--data_file", few_messages, "--output_dir", tmp_path / "splits")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "labels 0 ham · 1 spam; positive: spam"
    assert lines[1].startswith(f"note   {few_messages}: 130 rows; columns: texts Text; labels Label")
    table = [line.split() for line in lines[-4:-1]]
    assert [(row[0], row[3]) for row in table] == [("train", "91"), ("validation", "13"), ("test", "26")]
    assert lines[-1] == f"saved to {tmp_path}/splits; try: hf-spam train --data_dir {tmp_path}/splits"
    again = run("data", "--data_dir", tmp_path / "splits")[1]
    assert again.splitlines()[-4:] == lines[-5:-1]
    code, out, _ = run("train", "--data_dir", tmp_path / "splits", *short, "--max_steps", "1", "--output_dir", "run")
    assert code == 0
    code, out, _ = run("evaluate", "run")
    assert "on the test split, 26 messages" in out


def test_data_command_on_the_real_collection(run: Run, collection: Path) -> None:
    code, out, _ = run("data", "--data_file", collection)
    assert code == 0
    assert [line.split() for line in out.splitlines()[-3:]] == [
        ["train", "528", "517", "1045", "120"],
        ["validation", "70", "79", "149", "71"],
        ["test", "149", "151", "300", "92"],
    ]


def test_data_from_the_cache_of_uci(run: Run, collection: Path, tmp_path: Path) -> None:
    (tmp_path / "SMSSpamCollection.tsv").write_bytes(collection.read_bytes())
    found = run("data", "--cache_dir", tmp_path)[1].splitlines()
    assert found == [
        line for line in run("data", "--data_file", collection)[1].splitlines() if "5,572 rows" not in line
    ]


@pytest.mark.slow  # two trainings
def test_the_same_run_from_its_own_arguments(run: Run, checkpoints: dict[str, Path], tmp_path: Path) -> None:
    folder = checkpoints["last_token"]
    code, _, err = run("train", "--config", folder / "arguments.json", "--output_dir", tmp_path / "again")
    assert code == 0, err
    one, other = (json.loads((path / "metrics.json").read_text()) for path in (folder, tmp_path / "again"))
    assert one["splits"] == other["splits"]
    assert one["history"] == other["history"]
    assert (folder / "model.safetensors").read_bytes() == (tmp_path / "again" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_from_a_local_gpt2(run: Run, gpt2_folder: Path, few_messages: Path, tmp_path: Path) -> None:
    for extra in ([], ["--preset", "book"], ["--trainable", "last_layer"]):
        output = tmp_path / f"run{len(extra)}{extra[-1:]}"
        argv = ["--weights", gpt2_folder, "--data_file", few_messages, "--max_length", "60", "--max_steps", "2"]
        code, out, err = run("train", *extra, *argv, "--output_dir", output)
        assert code == 0, err
        assert f"weights: {gpt2_folder}" in out
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["training"]["trained_parameters"] == 2 * 32 + 2
    assert AutoTokenizer.from_pretrained(output).model_max_length == 60


# --- what can go wrong ----------------------------------------------------------------------------------------------


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_no_command(run: Run) -> None:
    assert run("--help")[0] == 0
    assert run()[0] == 2
    code, out, err = run("classify")
    assert (code, out) == (2, "")
    assert err == (
        "hf-spam: error: expected one of data, train, pretrain, experiments, search, cross-validate, calibrate, learn, evaluate, "
        "predict, serve, inspect, export, verify, push, native, check-equivalence, benchmark, launch-configs, completion, found 'classify'. "
        "Try: hf-spam --help\n"
    )


@pytest.mark.parametrize("command", ["data", "train", "evaluate", "predict", "inspect", "export"])
def test_help_of_each_command(command: str, capsys: pytest.CaptureFixture[str], run: Run) -> None:
    with pytest.raises(SystemExit) as done:
        run(command, "--help")
    assert done.value.code == 0
    assert f"usage: hf-spam {command}" in capsys.readouterr().out


def test_the_hub_cannot_be_reached(hf_spam: Process, tmp_path: Path) -> None:
    """No preset and no Hub: two lines, exit 2, nothing written."""
    result = hf_spam("train", HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path / "hf"))
    assert result.returncode == 2
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert first.startswith("hf-spam: error: could not download openai-community/gpt2 from the Hugging Face Hub: ")
    assert second == (
        "Alternatives: --weights FOLDER (a local GPT-2 folder), --weights random (train from scratch), "
        "or --preset quickstart (no download at all)."
    )
    assert files_below(tmp_path / "work") == set()


BAD_COMMANDS: dict[str, tuple[list[str], str]] = {
    "missing file": (["--data_file", "none.csv"], "none.csv: no such file"),
    "empty file": (["--data_file", "empty.csv"], "empty.csv: expected messages, found an empty file"),
    "folder": (["--data_file", "folder"], "folder: expected saved splits, tables, or a folder of texts for each class, found none"),
    "no splits": (["--data_dir", "folder"], "folder: expected saved splits, tables, or a folder of texts for each class, found none"),
    "too few": (["--data_file", "two.csv"], "found 2 that make 1 train, 0 validation, 1 test"),
    "two sources": (["--data_file", "a", "--data_source", "uci"], "expected one of --data_source, --data_file"),
    "unknown option": (["--data_fil", "a"], "unrecognized arguments: --data_fil a. See: hf-spam train --help"),
    "unknown weights": (["--weights", "nowhere"], "found no folder 'nowhere'"),
    "no BPE": (["--data_source", "sample", "--bpe_dir", "folder"], "folder: expected GPT-2's BPE files"),
    "no config": (["--config", "none.yaml"], "none.yaml: cannot be read as a configuration"),
    "output is a file": (["--output_dir", "two.csv"], "--output_dir two.csv: expected a folder, found a file"),
    "output below a file": (["--output_dir", "two.csv/run"], "--output_dir two.csv/run: cannot be used: Not a directory"),
    "output cannot be written": (["--output_dir", "/proc/run"], "/proc/run: cannot be written: "),
    "output holds something": (["--output_dir", "full"], "full: holds precious, which hf-spam did not write there. Choose another --output_dir."),
    "output holds something, overwrite": (["--output_dir", "full", "--overwrite_output_dir"], "full: holds precious, which hf-spam did not write"),
    "output is the current folder": (["--output_dir", "."], ".: expected a new folder, found the current one"),
    "output is above": (["--output_dir", "folder/.."], "found the current one or one above"),
    "output with a control character": (["--output_dir", "a\x1b[2Jb"], "a\\x1b[2Jb: expected a name without control characters"),
    "output too long": (["--output_dir", "n" * 250], "cannot be written: File name too long"),
    "data through a pipe": (["--data_file", "pipe"], "pipe: expected a regular file, found a pipe"),
    "checkpoint of a very long name": (["--resume_from_checkpoint", "checkpoint-" + "9" * 5000], "error: --resume_from_checkpoint checkpoint-999"),
    "batch too large": (["--data_source", "sample", "--per_device_train_batch_size", "999"], "at least one training batch of 999 messages, found 898"),
}  # fmt: skip


@pytest.mark.parametrize(("argv", "message"), BAD_COMMANDS.values(), ids=BAD_COMMANDS.keys())
def test_a_mistake_is_told_and_leaves_nothing(
    short: list[str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.csv").touch()
    Path("two.csv").write_text("label,text\nham,a\nspam,b\n")
    Path("folder").mkdir()
    os.mkfifo("pipe")
    Path("full").mkdir()
    Path("full/precious").write_text("kept")
    before = files_below(tmp_path)
    code, _, err = run("train", *short, *argv)
    assert code == 2
    assert "hf-spam: error: " in err
    assert message in err
    assert len([line for line in err.splitlines() if line.strip() and "Tokenizing" not in line]) <= 2
    assert "Traceback" not in err
    assert files_below(tmp_path) - {"outputs"} == before
    assert Path("full/precious").read_text() == "kept"


@pytest.mark.parametrize("name", ["x" * 300, "é" * 200, "y/" * 3000, "loop/x", "two.csv/x"])
def test_a_name_that_no_folder_can_have(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Wherever a model or weights are named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    Path("loop").symlink_to("loop")
    Path("two.csv").write_text("label,text\nham,a\nspam,b\n")
    for argv in (
        ["predict", name, "a"],
        ["inspect", name, "a"],
        ["evaluate", name, "--data_file", "two.csv"],
        ["verify", name],
        ["export", name, "--format", "gpt2", "--output_dir", "out"],
        ["push", name, "me/model", "--dry_run"],
        ["train", "--weights", name, "--data_file", "two.csv", "--output_dir", "out"],
        ["native", "--weights", name, "--data_file", "two.csv", "--output_dir", "out"],
        ["check_equivalence", "--weights", name, "--data_file", "two.csv"],
    ):
        code, output, error = run(*argv)
        told = [line for line in error.splitlines() if line.startswith("hf-spam: error: ")]
        assert (code, output, len(told)) == (2, "", 1), error
        assert "Traceback" not in error


def test_splits_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    """Said before a message is read: there are none."""
    (tmp_path / "kept").touch()
    for folder, message in (
        ("/proc/splits", "cannot be written: "),
        (tmp_path, "not empty, and nothing is overwritten"),
    ):
        code, _, err = run("data", "--data_file", "missing.csv", "--output_dir", folder)
        assert code == 2
        assert err.startswith(f"hf-spam: error: {folder}: {message}")


def test_a_run_is_replaced_only_when_asked(
    short: list[str], run: Run, few_messages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["train", "--data_file", few_messages, *short, "--max_steps", "1", "--output_dir", "run"]
    assert run(*argv)[0] == 0
    first = Path("run/metrics.json").read_bytes()
    assert run(*argv, "--seed", "5")[0] == 2
    assert Path("run/metrics.json").read_bytes() == first
    assert run(*argv, "--seed", "5", "--overwrite_output_dir", "true")[0] == 0
    assert Path("run/metrics.json").read_bytes() != first
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


@pytest.mark.slow  # two trainings
def test_a_failure_in_training_keeps_what_was_there(
    short: list[str], run: Run, few_messages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect of ours: a traceback, and the earlier run untouched."""
    monkeypatch.chdir(tmp_path)
    argv = ["train", "--data_file", few_messages, *short, "--max_steps", "1", "--output_dir", "run"]
    assert run(*argv)[0] == 0
    before = {name: (tmp_path / name).read_bytes() for name in files_below(tmp_path) if (tmp_path / name).is_file()}
    monkeypatch.setattr("hf_spam.training.run.plot_history", lambda *args, **kwargs: 1 / 0)
    code, _, error = run(*argv, "--overwrite_output_dir", "true")
    assert (code, error.splitlines()[-1]) == (1, "ZeroDivisionError: division by zero")
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert {path.name for path in (tmp_path / "run.partial").iterdir()} >= {
        *("checkpoint-1", "arguments.json", "model.safetensors", "metrics.json")
    }


@pytest.mark.slow
def test_checkpoints_of_an_unfinished_run_are_kept(
    run: Run, short: list[str], few_messages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["train", "--data_file", few_messages, *short, "--save_total_limit", 2, "--output_dir", tmp_path / "run"]
    with monkeypatch.context() as broken:
        broken.setattr("hf_spam.training.fine_tuning.score_split", lambda *args: 1 / 0)
        code, _, error = run(*argv)
    assert (code, error.splitlines()[-1]) == (1, "ZeroDivisionError: division by zero")
    assert {path.name for path in tmp_path.iterdir()} == {"run.partial"}
    assert {path.name for path in (tmp_path / "run.partial").iterdir()} == {
        ".hf-spam",
        "arguments.json",
        "checkpoint-11",
        "checkpoint-22",
    }
    code, _, err = run(*argv)
    assert code == 2
    assert f"{tmp_path}/run.partial: holds the checkpoints of a run that did not finish" in err
    assert (tmp_path / "run.partial" / "checkpoint-22" / "model.safetensors").is_file()
    assert run(*argv, "--overwrite_output_dir", "true")[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_interrupted(
    short: list[str], run: Run, monkeypatch: pytest.MonkeyPatch, few_messages: Path, tmp_path: Path
) -> None:
    def interrupt(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hf_spam.training.fine_tuning.SpamTrainer.train", interrupt)
    code, _, err = run("train", "--data_file", few_messages, *short, "--output_dir", tmp_path / "run")
    assert (code, err.splitlines()[-1]) == (130, "hf-spam: interrupted")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "argv",
    [
        ["predict", "outputs/quikstart", "hi"],
        ["evaluate", "quikstart", "--data_source", "sample"],
        ["predict", "/no/such/folder", "hi"],
    ],
)
def test_no_such_checkpoint(argv: list[str], hf_spam: Process, tmp_path: Path) -> None:
    """Told at once, although the first two could be on the Hub."""
    result = hf_spam(*argv, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path))
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    name = argv[1]
    assert line.startswith(f"hf-spam: error: {name}: found no such folder, and could not download {name} from the")


def test_a_checkpoint_on_the_hub(
    server: LoopbackServer, checkpoints: dict[str, Path], hf_spam: Process, tmp_path: Path
) -> None:
    serve_repository(server, "somebody/spam", checkpoints["last_token"])
    result = hf_spam(
        "predict",
        "somebody/spam",
        "You are a winner",
        HF_ENDPOINT=server.url,
        HF_HOME=str(tmp_path),
        HF_HUB_DISABLE_XET="1",
    )
    (expected,) = SpamClassifier.from_pretrained(checkpoints["last_token"])(["You are a winner"])
    assert result.stdout == f"{expected.label}\t{expected.score:.4f}\tYou are a winner\n", result.stderr
    assert not [line for line in server.requests if line.endswith(".py")]  # code is not fetched: ours is here


def test_a_checkpoint_of_another_model(run: Run, gpt2_folder: Path) -> None:
    code, _, err = run("predict", gpt2_folder, "hi")
    assert code == 2
    assert f"{gpt2_folder}/config.json: expected a model saved by hf-spam train or hf-spam export" in err


def test_evaluate_without_data(run: Run, checkpoints: dict[str, Path], tmp_path: Path) -> None:
    for path in checkpoints["last_token"].iterdir():
        if path.name != "arguments.json":
            shutil.copy(path, tmp_path)
    code, _, err = run("evaluate", tmp_path)
    assert code == 2
    assert "no arguments.json says which data it was trained on. Name --data_file." in err


# --- the scripts ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evaluate", "predict"])  # train.py is launched
def test_scripts_run_alone(name: str) -> None:
    """Also scripts/evaluate.py, which must not hide the library `evaluate`."""
    result = subprocess.run(
        [sys.executable, ROOT / "scripts" / f"{name}.py", "--help"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert f"usage: hf-spam {name}" in result.stdout


# --- killed, and started again ----------------------------------------------------------------------------------------


@pytest.fixture
def killed(
    short: list[str], run: Run, few_messages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """A command that was killed after its last write, right before the run took its place."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(few_messages, "mine.csv")
    argv = ["train", "--data_file", "mine.csv", *short, "--max_steps", "2", "--output_dir", "run"]

    def die(staging: Path, place: Path) -> None:
        Path("mine.csv").unlink()  # it is not needed any more
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr("hf_spam.system.run_folder._take_place", die)
        assert run(*argv)[0] == 130
    assert {path.name for path in tmp_path.iterdir()} == {"run.partial"}
    return argv


RESUME = ["--resume_from_checkpoint", "last"]


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["--overwrite_output_dir"],
        pytest.param(RESUME, marks=pytest.mark.slow),
        pytest.param([*RESUME, "--overwrite_output_dir"], marks=pytest.mark.slow),
    ],
)
def test_a_complete_run_is_finished_by_the_same_command(run: Run, killed: list[str], more: list[str]) -> None:
    code, out, err = run(*killed, *more)
    assert (code, err) == (0, "")
    assert "complete already: nothing is left to train\ntrained 2 steps in " in out
    assert "saved to run; try: hf-spam predict run" in out
    assert {path.name for path in Path().iterdir()} == {"run"}
    assert check_manifest(Path("run")) == []
    assert not {path.name for path in Path("run").iterdir()} & {".hf-spam", "checkpoint-2"}
    weights = Path("run/model.safetensors").read_bytes()
    code, out, _ = run(*killed, *RESUME)  # a scheduler starts it once more
    assert code == 0
    assert "complete already" in out
    assert run(*killed)[0] == 2
    code, _, err = run(*killed, *RESUME, "--seed", "5")
    assert code == 2
    assert "run: holds a complete run, whose --seed was another" in err
    assert Path("run/model.safetensors").read_bytes() == weights


@pytest.mark.slow
def test_a_complete_run_is_finished_before_another_starts(run: Run, killed: list[str], few_messages: Path) -> None:
    shutil.copy(few_messages, "mine.csv")
    code, out, err = run(*killed, "--seed", "5")
    assert code == 2
    assert "the earlier run was complete and is now in run" in out
    assert "run: holds a run already" in err
    weights = Path("run/model.safetensors").read_bytes()
    assert run(*killed, "--seed", "5", "--overwrite_output_dir")[0] == 0
    assert Path("run/model.safetensors").read_bytes() != weights
    assert {path.name for path in Path().iterdir()} == {"run", "mine.csv"}


@pytest.mark.slow
def test_the_data_may_be_gone_after_the_training(
    short: list[str], run: Run, few_messages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = shutil.copy(few_messages, tmp_path / "mine.csv")

    def fine_tune(*args: Any, **kwargs: Any) -> Any:
        Path(mine).unlink()
        return real(*args, **kwargs)

    from hf_spam.commands import train

    real = train.fine_tune
    monkeypatch.setattr(train, "fine_tune", fine_tune)
    argv = ["train", "--data_file", mine, *short, "--max_steps", "1", "--output_dir", tmp_path / "run"]
    assert run(*argv)[0] == 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["data"]["source"] == "own"
