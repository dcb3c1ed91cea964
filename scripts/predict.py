"""`hf-spam predict` as a script, for `python` and `accelerate launch`."""

import sys

from hf_spam_cli import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
