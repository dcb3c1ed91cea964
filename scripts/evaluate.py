"""`hf-spam evaluate` as a script, for `accelerate launch` and `torchrun`."""

import sys
from pathlib import Path

# Python puts this folder first on the import path, where evaluate.py would hide the library `evaluate`.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

from hf_spam.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
