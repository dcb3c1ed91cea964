"""The console command `hf-spam`: find the subcommand, run it, and turn errors into exit codes.

Exit codes: 0 done; 2 a mistake of the caller's or a missing resource, reported without a traceback; 1 a defect of
ours; 130 interrupted.
"""

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version

from .commands import COMMANDS, module_name
from .errors import Interrupted, UserError, one_line, shorten
from .system.terminal import ReaderGone, safe_streams

_USAGE = "usage: hf-spam COMMAND [OPTION ...]\n\nFine-tune a from-scratch GPT as a spam classifier.\n\ncommands:\n"


def usage() -> str:
    """Return what `hf-spam --help` prints."""
    lines = [f"  {name:19}{text}" for name, text in COMMANDS.items()]
    hint = "`hf-spam COMMAND --help` lists a command's options, `hf-spam --version` prints the version."
    return _USAGE + "\n".join(lines) + f"\n\n{hint}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `hf-spam` with the given arguments (those of the process by default) and return its exit code."""
    with safe_streams() as (output, errors):
        try:
            code = _report(list(sys.argv[1:] if argv is None else argv))
        except ReaderGone:  # as `head` does
            return 0
        except SystemExit:  # of argparse, after --help
            output.flush()
            if output.failure is None:
                raise
            code = 0
        with suppress(ReaderGone):
            output.flush()  # here, as Python's own flush at exit would print a traceback
        if output.failure is not None and not isinstance(output.failure, BrokenPipeError) and code == 0:
            reason = getattr(output.failure, "strerror", None) or output.failure
            code = _fail(f"hf-spam: error: standard output cannot be written: {reason}. Some of it is lost.", 2)
        errors.flush()
        return code


def _report(argv: list[str]) -> int:
    """Run the command and report what it raises."""
    try:
        return _run(argv)
    except UserError as error:
        return _fail(f"hf-spam: error: {error}", 2)
    except Interrupted as stop:
        return _fail(f"\nhf-spam: {one_line(stop.message)}", 128 + stop.signal)
    except KeyboardInterrupt:
        return _fail("hf-spam: interrupted", 130)
    except ReaderGone:
        raise
    except Exception:
        return _fail(traceback.format_exc().rstrip("\n"), 1)


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"hf-spam {version('hf-spam')}")
        return 0
    name, rest = argv[0].replace("_", "-"), argv[1:]
    if name not in COMMANDS:
        raise UserError(f"expected one of {', '.join(COMMANDS)}, found {shorten(argv[0], 100)!r}. Try: hf-spam --help")
    _set_up_libraries()
    command = importlib.import_module(module_name(name))
    from .system.processes import only_main_prints

    with _warnings_shown(), only_main_prints():
        failed: int | None = command.main(command.parse(rest))
    return failed or 0


def _set_up_libraries() -> None:
    """Set what torch, datasets and transformers read when they are imported, and turn off their progress bars.

    None of them is imported here: not every command needs them, and that takes seconds.
    """
    # Large tensors in huge pages: a step allocates its gradients anew, and would wait for thousands of page faults.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # Ours is the only bar: see system/progress.py.
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # and transformers'
    if "transformers" in sys.modules:
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()


def _fail(message: str, code: int) -> int:
    """Print a message in every process that fails, as a launcher may end the main one first; return the exit code."""
    rank = os.environ.get("RANK", "0")
    print(message if rank == "0" else f"[rank {rank}] {message.strip()}", file=sys.stderr, flush=True)
    return code


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """Print our own warnings in the main process; the libraries print theirs themselves."""
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
