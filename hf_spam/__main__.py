"""`python -m hf_spam`: the command `hf-spam`, for `accelerate launch -m` and `torchrun -m`, too."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
