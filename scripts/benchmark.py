"""`hf-spam benchmark` as a script: our speed against named peers."""

import sys

from hf_spam_cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", *sys.argv[1:]]))
