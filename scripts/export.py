"""`hf-spam export` as a script."""

import sys

from hf_spam_cli import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
