"""`hf-spam check_equivalence` as a script."""

import sys

from hf_spam_cli import main

if __name__ == "__main__":
    sys.exit(main(["check_equivalence", *sys.argv[1:]]))
