"""What does each `hf-spam` command parse, call and print?"""

COMMANDS = {
    "data": "download, balance and split the messages; print the counts, save or push the splits",
    "train": "fine-tune, evaluate on the whole of each split, save a checkpoint",
    "pretrain": "train a GPT to continue texts, for classifiers to start from",
    "experiments": "run the chapter's variations, or your own list, and put them in one table",
    "search": "try hyper-parameters, judged on the validation split; write the best as a configuration",
    "cross-validate": "judge a recipe on every message, by models that saw nothing like it",
    "calibrate": "choose from which score on a message is blocked, with a promise, and fold that into the model",
    "learn": "make a copy of a model that gets corrected messages right, within seconds",
    "evaluate": "report on a split of a checkpoint's own data, or on a file",
    "predict": "classify texts given as arguments or on standard input",
    "serve": "answer other programs over HTTP",
    "inspect": "print a model's parts, the logits at every position of a text, and draw its attention",
    "export": "convert a checkpoint to ONNX, in int8 if wished, or to transformers' GPT-2, and check that it agrees",
    "verify": "check that a run's files are those that were saved, and that its model is whole",
    "push": "put a model on the Hugging Face Hub, with its card",
    "native": "run the chapter's own program in plain torch, without the Trainer",
    "check-equivalence": "compare the Trainer route with the native loop, and the model with GPT-2",
    "benchmark": "measure our speed against the native loop's and transformers' own",
    "launch-configs": "list the configuration files for `accelerate launch`, or print the path of one",
    "completion": "print a script that completes commands and options in bash, zsh or fish",
}


def module_name(command: str) -> str:
    """Return the full name of a command's module."""
    return f"{__name__}.{command.replace('-', '_')}"
