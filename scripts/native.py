"""`hf-spam native` as a script: the chapter's own program."""

import sys

from hf_spam_cli import main

if __name__ == "__main__":
    sys.exit(main(["native", *sys.argv[1:]]))
