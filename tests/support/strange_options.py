"""Absurd values for every option: what parsers and dataclasses make of them, and what real runs do.

`pairs` is read from the parsers, so a new option is in it by itself. `sweep` runs `hf-spam train` for every option of
the Trainer's and ours with every value that was accepted.
"""

import argparse
import importlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from support.warm_process import WarmProcess

from hf_spam.commands import check_equivalence, module_name, native, train
from hf_spam.data.arguments import DataArguments
from hf_spam.errors import UserError
from hf_spam.hub.arguments import HubArguments
from hf_spam.options import OptionParser, build
from hf_spam.training.arguments import ModelArguments, SpamTrainingArguments

NUMBERS = ("-1", "0", "1", "0.5", "1.5", str(10**12), str(10**30), "9" * 5000, "nan", "inf", "-inf", "1e-400", "0x10")
WORDS = ("", " ", "banana", "a=b", "--", "x" * 5000, "\ud800", "\x1b[31m", "a\x00b")
JSONS = ("{}", "[]", "{", '{"a": {"b": null}}', '{"split_batches": 7}')
KNOWN = ("no", "steps", "best", "all", "cosine", "sgd", "last")

SHORT = ["--weights", "random", "--model_size", "tiny", "--context_length", "32", "--max_steps", "2"]
_CLASSES: dict[str, tuple[type[Any], ...]] = {
    "train": (DataArguments, ModelArguments, SpamTrainingArguments),
    "evaluate": (DataArguments,),
    "export": (DataArguments,),
    "push": (HubArguments,),
    "calibrate": (DataArguments,),
    "learn": (DataArguments,),
    "data": (DataArguments, HubArguments),
    "native": (DataArguments, ModelArguments, native.NativeArguments),
    "check-equivalence": (check_equivalence.CheckArguments,),
}
_NEEDED = {
    "predict": ["model", "text"],
    "serve": ["model"],
    "calibrate": ["model", "--output_dir", "new"],
    "learn": ["model", "corrections.csv", "--output_dir", "new"],
    "inspect": ["model", "text"],
    "evaluate": ["model"],
    "export": ["model", "--output_dir", "new"],
    "push": ["model", "me/it"],
    "completion": ["bash"],
}


def options_of(parser: OptionParser) -> Iterator[argparse.Action]:
    """Every option of a parser once, without help and the negations."""
    for action in parser._actions:
        flag = (action.option_strings or [""])[0]
        if flag.startswith("--") and flag == f"--{action.dest}":
            yield action


def pairs(command: str, *paths: Path) -> Iterator[tuple[str, str]]:
    """Every option of a command with every absurd value; `paths` are values, too."""
    parser = importlib.import_module(module_name(command)).make_parser()
    for action in options_of(parser):
        if action.nargs == 0:
            continue
        values: tuple[str, ...] = (*WORDS, *JSONS, *KNOWN, *map(str, paths), "-1")
        if action.type in (int, float):
            values = (*NUMBERS, "", "banana", "[1]")
        elif action.choices or "true" in str(action.metavar):
            values = ("", "banana", "-1", "nan", "{}", "--")
        for value in values:
            yield action.dest, value


def accept(command: str, name: str, value: str) -> None:
    """Parse and build an option as the command would before any work.

    Raises:
        UserError: If it is refused.
    """
    module = importlib.import_module(module_name(command))
    options = module.parse([*_NEEDED.get(command, []), f"--{name}={value}"])
    for type_ in _CLASSES.get(command, ()):
        if any(field.name == name for field in fields(type_)):
            build(type_, options)


def is_accepted(command: str, name: str, value: str) -> bool:
    """Tell whether an option is accepted with a value."""
    try:
        accept(command, name, value)
    except UserError:
        return False
    return True


@contextmanager
def one_parser(command: str) -> Iterator[None]:
    """Make a command's parser once: it takes longer than parsing."""
    module: Any = importlib.import_module(module_name(command))
    make, parser = module.make_parser, module.make_parser()
    module.make_parser = lambda: parser
    try:
        yield
    finally:
        module.make_parser = make


def try_all(command: str, *paths: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """Try all pairs of a command.

    Returns:
        The pairs that are accepted, and what is wrong: refused without the option's name, or by another error.
    """
    with one_parser(command):
        return _try_all(command, *paths)


def _try_all(command: str, *paths: Path) -> tuple[list[tuple[str, str]], list[str]]:
    accepted, wrong = [], []
    for name, value in pairs(command, *paths):
        try:
            accept(command, name, value)
            accepted.append((name, value))
        except UserError as error:
            if f"--{name}" not in str(error):
                wrong.append(f"{command} --{name} {value[:40]!r}: {error}")
        except SystemExit:
            wrong.append(f"{command} --{name} {value[:40]!r}: SystemExit")
        except Exception as error:
            wrong.append(f"{command} --{name} {value[:40]!r}: {type(error).__name__}: {error}")
    return accepted, wrong


def trainers_runs(*paths: Path, most: int = 8) -> list[tuple[str, str]]:
    """Return the pairs of `hf-spam train` that a real run should try: accepted ones, at most so many of an option."""
    apart = {"output_dir", "data_file", "data_dir", "data_source", "weights", "config", "preset", "text_column"}
    apart |= {"label_column", "model_size", "push_to_hub", "hub_token"}
    booleans = [
        (action.dest, word)
        for action in options_of(train.make_parser())
        if "true" in str(action.metavar)
        for word in ("true", "false")
    ]
    accepted = [pair for pair in try_all("train", *paths)[0] if pair[0] not in apart]
    words = [(action.dest, str(word)) for action in options_of(train.make_parser()) for word in action.choices or ()]
    known = [("optim", name) for name in ("adafactor", "adagrad", "rmsprop", "adamw_torch")]
    known += [("lr_scheduler_type", name) for name in ("linear", "polynomial", "reduce_lr_on_plateau", "greedy")]
    known += [("debug", "underflow_overflow"), ("dataloader_num_workers", "2")]
    found = dict.fromkeys([*known, *booleans, *words, *accepted])
    kept: dict[str, list[tuple[str, str]]] = {}
    with one_parser("train"):
        for name, value in found:
            if is_accepted("train", name, value):
                kept.setdefault(name, []).append((name, value))
    return [pair for name, values in kept.items() if name not in apart for pair in values[:most]]


def sweep(
    warm: WarmProcess, data_file: Path, folder: Path, runs: Sequence[tuple[str, str]], limit: float = 60
) -> tuple[Counter[int], list[str]]:
    """Run `hf-spam train` once for every pair.

    Args:
        warm: Where the commands run.
        data_file: Messages.
        folder: Where they run; emptied by each run's own `--overwrite_output_dir`.
        runs: Options and values.
        limit: Seconds after which a run counts as hanging, and is killed.

    Returns:
        How many runs ended with which code, and what is wrong: other codes than 0 and 2, tracebacks, hangs.
    """
    codes: Counter[int] = Counter()
    wrong = []
    for number, (name, value) in enumerate(runs):
        place = folder / str(number)
        place.mkdir()
        argv = ["train", "--data_file", data_file, *SHORT, "--output_dir", "run", f"--{name}={value}"]
        process = warm.start(argv, place)
        watch = threading.Timer(limit, os.kill, (process, signal.SIGKILL))
        watch.start()
        code = warm.wait(process)
        watch.cancel()
        codes[code] += 1
        text = (place / "log").read_text(errors="replace") if (place / "log").exists() else ""
        if code not in (0, 2) or "Traceback" in text:
            wrong.append(f"--{name}={value[:60]!r}: exit {code}: {text.strip()[-1500:]}")
        elif code == 2 and f"--{name}" not in text:
            wrong.append(f"--{name}={value[:60]!r}: exit 2 without its name: {text.strip()[-400:]}")
    return codes, wrong
