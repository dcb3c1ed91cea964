"""A process that has imported the modules it is told and forks for each command: `hf-spam` without seconds of imports.

Requests are lines of JSON on standard input. `{"argv", "environment", "folder", "log"}` starts a command, or with
`"program"` a Python program that gets `argv`, and is answered with its process id; an optional `"input"` is the file to
read standard input from, and an optional `"errors"` a second file for standard error. `{"wait": id}` is answered with
the exit code, negative for a signal.
"""

import gc
import importlib
import json
import os
import signal
import sys

os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"  # the command sets it before it imports datasets


def run(request: dict) -> None:
    """In the child: become the command."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    if any(name.startswith("HF_") for name in request["environment"]):
        for module in ("huggingface_hub.constants", "huggingface_hub.utils.logging"):
            if module in sys.modules:  # it read its environment when it was imported
                importlib.reload(sys.modules[module])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    errors = os.open(request.get("errors", request["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(request.get("input", os.devnull), os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(errors, 2)
    # New streams: those of the start take the log for what the server wrote to, a pipe or a file.
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    code = 1
    try:
        if "program" in request:
            sys.argv = ["-c", *request["argv"]]
            sys.path.insert(0, "")  # as `python -c` does
            exec(compile(request["program"], "<program>", "exec"), {"__name__": "__main__"})
            code = 0
        else:
            from hf_spam.cli import main as run_command

            code = run_command(request["argv"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Answer requests until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in sys.argv[1:]:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # the children's collections pass over what was imported
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
        else:
            child = os.fork()
            if child == 0:
                run(request)
            print(child, flush=True)


if __name__ == "__main__":
    main()
