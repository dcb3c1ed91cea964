"""`hf-spam push` as a script."""

import sys

from hf_spam_cli import main

if __name__ == "__main__":
    sys.exit(main(["push", *sys.argv[1:]]))
