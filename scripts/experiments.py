# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-spam[sample]"]
#
# [tool.uv.sources]
# hf-spam = { path = ".." }
# ///
"""`hf-spam experiments` as a script, for `accelerate launch`, `torchrun` and `uv run`."""

import sys
from pathlib import Path

# Python puts this folder first on the import path, where evaluate.py would hide the library `evaluate`.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

from hf_spam.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(["experiments", *sys.argv[1:]]))
