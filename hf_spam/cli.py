"""The console command `hf-spam`: finds the subcommand, runs it, and turns errors into exit codes.

Exit codes: 0 done; 2 the caller's mistake or a missing resource, told without a traceback; 1 a defect of ours;
130 interrupted.
"""

import importlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

COMMANDS = {
    "data": "download, balance and split the messages, print the counts, save or push them",
    "train": "fine-tune, evaluate on the whole of each split, save a checkpoint",
    "evaluate": "report on a split of a checkpoint's own data, or on a file",
    "predict": "classify texts given as arguments or on standard input",
    "export": "write a checkpoint as ONNX, in int8 if wished, or as transformers' GPT-2, and check that it agrees",
    "push": "put a model on the Hugging Face Hub, with its card",
    "native": "the chapter's own program in plain torch, without the Trainer",
    "check-equivalence": "compare the Trainer route with the native loop, and the model with GPT-2",
    "benchmark": "measure our speed against the native loop's and transformers' own",
}

_USAGE = "usage: hf-spam COMMAND [OPTION ...]\n\nFine-tune a from-scratch GPT as a spam classifier.\n\ncommands:\n"


def usage() -> str:
    """What `hf-spam --help` prints."""
    lines = [f"  {name:19}{text}" for name, text in COMMANDS.items()]
    return _USAGE + "\n".join(lines) + "\n\n`hf-spam COMMAND --help` lists a command's options."


def main(argv: Sequence[str] | None = None) -> int:
    """Run `hf-spam` with the given arguments (those of the process by default) and return its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0 if argv else 2
    name, rest = argv[0].replace("_", "-"), argv[1:]
    if name not in COMMANDS:
        print(
            f"hf-spam: error: expected one of {', '.join(COMMANDS)}, found {name!r}. Try: hf-spam --help",
            file=sys.stderr,
        )
        return 2
    # Large tensors in huge pages: a step allocates its gradients anew, and would wait for thousands of page faults.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    command = importlib.import_module(f"hf_spam.commands.{name.replace('-', '_')}")
    from transformers.utils.logging import disable_progress_bar

    from .errors import Interrupted, UserError
    from .system.processes import is_first_to_fail, only_main_prints

    disable_progress_bar()  # of reading and writing weights; training keeps its own
    try:
        with _warnings_shown(), only_main_prints():
            failed: int | None = command.main(command.parse(rest))
    except UserError as error:
        if is_first_to_fail():
            print(f"hf-spam: error: {error}", file=sys.stderr, flush=True)
        return 2
    except Interrupted as stop:
        if is_first_to_fail():
            print(f"\nhf-spam: {stop.message}", file=sys.stderr, flush=True)
        return 128 + stop.signal
    except BrokenPipeError:  # whoever read our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("hf-spam: interrupted", file=sys.stderr)
        return 130
    return failed or 0


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """Show our warnings, once and only ours: the libraries have handlers of their own."""
    handler = logging.StreamHandler() if os.environ.get("RANK", "0") == "0" else logging.NullHandler()
    handler.setFormatter(logging.Formatter("hf-spam: warning: %(message)s"))
    logger = logging.getLogger("hf_spam")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


if __name__ == "__main__":
    sys.exit(main())
