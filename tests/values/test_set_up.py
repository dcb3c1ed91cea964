"""The last net: a failing set-up names the options of the Trainer that were given.   pytest tests/values/test_set_up.py"""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hf_spam import SpamTrainingArguments, UserError
from hf_spam.commands import train
from hf_spam.errors import Interrupted
from hf_spam.training import fine_tuning
from hf_spam.values.set_up import suspects, until_first_step

GIVEN = {"ddp_static_graph": True, "optim": "sgd"}


def step() -> None:
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1).step()


def test_an_error_before_the_first_step(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"^--ddp_static_graph True, --optim sgd: cannot be used here: no such thing$"),
        until_first_step(GIVEN, tmp_path / "not" / "yet"),
    ):
        raise RuntimeError("no such thing\nmore")


def test_an_error_after_the_first_step_is_ours(tmp_path: Path) -> None:
    def work() -> None:
        step()
        raise RuntimeError("later")

    with pytest.raises(RuntimeError, match="later"), until_first_step(GIVEN, tmp_path):
        work()


def test_without_options_an_error_is_ours(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ours"), until_first_step({}, tmp_path):
        raise RuntimeError("ours")


@pytest.mark.parametrize(
    "error", [UserError("told"), Interrupted(15, "stopped"), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()]
)
def test_what_passes(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as found, until_first_step(GIVEN, tmp_path):
        raise error
    assert found.value is error


def test_a_step_before_does_not_count(tmp_path: Path) -> None:
    step()
    with pytest.raises(UserError), until_first_step(GIVEN, tmp_path):
        raise RuntimeError("early")


def test_suspects(tmp_path: Path) -> None:
    """Options that lead to other people's code; not those that only hold a number of ours."""
    arguments = SpamTrainingArguments(str(tmp_path), seed=1, optim="sgd", full_determinism=False, run_name="x")
    found = suspects(arguments)
    assert {"optim": "sgd", "run_name": "x"}.items() <= found.items()
    assert not {"seed", "output_dir", "full_determinism", "use_cpu"} & set(found)


def test_a_run(few_messages: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, str, str]]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("cannot")

    monkeypatch.setattr(fine_tuning, "build_trainer", fail)
    short = ["--weights", "random", "--model_size", "tiny", "--context_length", "32", "--data_file", few_messages]
    code, _, error = run("train", *short, "--run_name", "x", "--seed", "1", "--output_dir", "run")
    assert code == 2
    assert error.endswith("hf-spam: error: --run_name x: cannot be used here: cannot\n")
    assert not Path("run.partial").exists()
    with pytest.raises(RuntimeError):  # a defect of ours stays one
        train.main(train.parse([*map(str, short), "--seed", "1", "--output_dir", "run"]))
