"""A process that has imported everything and forks for each command: `hf-spam` without four seconds of imports.

Requests are lines of JSON on standard input: `{"argv", "environment", "folder", "log"}` starts a command and is
answered with its process id; `{"wait": id}` is answered with its exit code, negative for a signal.
"""

import json
import os
import signal
import sys

os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"  # the command sets it before it imports datasets

import hf_spam.cli
import hf_spam.commands.evaluate
import hf_spam.commands.predict
import hf_spam.commands.train


def run(request: dict) -> None:
    """In the child: become the command."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    # New streams: those of the start take the log for what the server wrote to, a pipe or a file.
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    code = 1
    try:
        code = hf_spam.cli.main(request["argv"])
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Answer requests until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
