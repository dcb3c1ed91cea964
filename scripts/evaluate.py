"""`hf-spam evaluate` as a script, for `python` and `accelerate launch`."""

import sys

from hf_spam_cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
