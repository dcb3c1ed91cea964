"""`hf-spam train` as a script, for `python` and `accelerate launch`."""

import sys

from hf_spam_cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
