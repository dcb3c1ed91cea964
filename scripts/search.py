"""How the quickstart's sizes and recipe were chosen: five-fold cross-validation on the chapter's training messages.

The folds are those of the train and validation splits together (1,194 messages of the SMS Spam Collection); the test
split takes no part. Each fold has a seed of its own. All recipes use AdamW, weight decay 0.1, a cosine schedule after
10 % of warmup, and gradients clipped at 1.0. In the table of epochs 128 messages of the other folds are a validation
split that chooses the checkpoint, where a recipe keeps the best: the fold that judges has no say in it.

python scripts/search.py --data_file SMSSpamCollection
python scripts/search.py --data_file SMSSpamCollection --table epochs
"""

# ruff: noqa: E402

import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

# Python puts this folder first on the import path, where evaluate.py would hide the library `evaluate`.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

from datasets import Dataset, DatasetDict, concatenate_datasets, disable_progress_bars

from hf_spam.data.arguments import DataArguments
from hf_spam.data.loading import load_splits
from hf_spam.options import OptionParser, build
from hf_spam.tokens.encoding import longest_text
from hf_spam.tokens.tokenization import build_tokenizer, tokenize
from hf_spam.training.arguments import ModelArguments, SpamTrainingArguments
from hf_spam.training.fine_tuning import fine_tune
from hf_spam.training.initial_model import build_config, initialize_model
from hf_spam.training.presets import PRESETS
from hf_spam.values.ranges import Range

FOLDS = 5
VALIDATION = 128  # messages, as many as the quickstart has
HEAD_WIDTH = 64  # as in GPT-2


@dataclass(frozen=True)
class Recipe:
    """What differs between two rows of the table."""

    width: int
    layers: int
    batch: int
    rate: float
    epochs: int
    dropout: float
    keeps: str = "last"  # the checkpoint: the last, or the best by the loss on a validation split


SIZES = [
    Recipe(256, 2, 16, 5e-4, 5, 0.1),
    Recipe(256, 2, 16, 5e-4, 3, 0.1),
    Recipe(256, 2, 16, 5e-4, 5, 0.2),
    Recipe(384, 2, 16, 5e-4, 5, 0.1),
    Recipe(128, 4, 16, 5e-4, 8, 0.1),
    Recipe(256, 2, 16, 3e-4, 5, 0.1),
    Recipe(256, 3, 32, 1e-3, 8, 0.1),
    Recipe(256, 2, 8, 5e-4, 4, 0.1),
    Recipe(128, 4, 32, 2e-3, 10, 0.2),
    Recipe(128, 4, 16, 1e-3, 6, 0.1),
    Recipe(128, 4, 16, 1e-3, 10, 0.1),
    Recipe(128, 4, 32, 2e-3, 10, 0.1),
    Recipe(128, 2, 32, 2e-3, 10, 0.1),
]
EPOCHS = [
    Recipe(256, 2, 16, 5e-4, 1, 0.1),
    Recipe(256, 2, 16, 5e-4, 2, 0.1),
    Recipe(256, 2, 16, 5e-4, 3, 0.1),
    Recipe(256, 2, 16, 5e-4, 5, 0.1),
    Recipe(256, 2, 16, 5e-4, 5, 0.1, "best"),
    Recipe(256, 2, 16, 3e-4, 2, 0.1),
    Recipe(256, 2, 16, 5e-4, 3, 0.1, "best"),
    Recipe(256, 2, 16, 1e-3, 2, 0.1),
    Recipe(256, 2, 16, 3e-4, 3, 0.1),
]
TABLES = {"sizes": SIZES, "epochs": EPOCHS}


def make_parser() -> OptionParser:
    """Return the parser of the data options of `hf-spam train` and the size of the search."""
    parser = OptionParser(DataArguments, prog="search.py", description=__doc__)
    parser.add_argument("--table", choices=list(TABLES), default="sizes", help="Which recipes to try.")
    parser.add_argument(
        "--rows",
        type=int,
        default=len(SIZES),
        range=Range(at_least=1, at_most=len(SIZES)),
        help="Recipes to try, the best known first.",
    )
    parser.add_argument("--quick", action="store_true", help="Two steps on one fold of each, to see that it runs.")
    return parser


def main(options: dict[str, Any]) -> None:
    """Try the recipes and print a row of the table for each."""
    disable_progress_bars()
    splits = load_splits(build(DataArguments, options))
    messages = concatenate_datasets([splits["train"], splits["validation"]])
    quick, table = options.get("quick", False), options.get("table", "sizes")
    columns = ["width × layers", "batch", "rate", "epochs", "dropout", "keeps", "accuracy", "loss", "standard error"]
    print(f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|", sep="\n", flush=True)
    for recipe in TABLES[table][: options.get("rows")]:
        results = [
            train_fold(recipe, fold, seed, 2 if quick else -1)
            for seed, fold in enumerate(split_folds(messages, VALIDATION if table == "epochs" else 1), start=1)
            if not quick or seed == 1
        ]
        accuracy, loss = (mean(result[name] for result in results) for name in ("accuracy", "loss"))
        error = stdev(result["loss"] for result in results) / len(results) ** 0.5 if len(results) > 1 else 0
        sizes = f"{recipe.width} × {recipe.layers} | {recipe.batch} | {recipe.rate:g} | {recipe.epochs}"
        print(
            f"| {sizes} | {recipe.dropout} | {recipe.keeps} | {accuracy:.2%} | {loss:.3f} | {error:.3f} |", flush=True
        )


def split_folds(messages: Dataset, validation: int) -> Iterator[DatasetDict]:
    """Yield the messages as three splits, each fold once as `test`; `validation` are the first of the others.

    A recipe that keeps its last checkpoint needs no validation split: one message is enough for what nobody reads.
    """
    folds = [messages.shuffle(seed=123).shard(FOLDS, number) for number in range(FOLDS)]
    for number, held_out in enumerate(folds):
        rest = concatenate_datasets(folds[:number] + folds[number + 1 :]).shuffle(seed=123)
        chosen, train = rest.select(range(validation)), rest.select(range(validation, len(rest)))
        yield DatasetDict({"train": train, "validation": chosen, "test": held_out})


def train_fold(recipe: Recipe, splits: DatasetDict, seed: int, max_steps: int) -> dict[str, Any]:
    """Train on a fold and return the figures of the messages that were held out."""
    preset = PRESETS["quickstart"] | {"drop_rate": recipe.dropout}
    model_arguments: ModelArguments = build(ModelArguments, preset)
    tokenizer = build_tokenizer()
    longest = longest_text(tokenizer, list(splits["train"]["text"]))
    config = build_config(model_arguments, None, len(tokenizer), None, longest)
    config.emb_dim, config.n_layers, config.n_heads = recipe.width, recipe.layers, recipe.width // HEAD_WIDTH
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):  # the table alone is for others
        given = {"output_dir": folder, "seed": seed, "max_steps": max_steps, "disable_tqdm": True, "eval_freq": 0}
        given |= {"global_batch_size": recipe.batch, "learning_rate": recipe.rate, "num_train_epochs": recipe.epochs}
        when = "epoch" if recipe.keeps == "best" else "no"
        given |= {"eval_strategy": when, "save_strategy": when, "load_best_model_at_end": recipe.keeps == "best"}
        arguments = build(SpamTrainingArguments, preset | given)
        model = initialize_model(config, None, seed)
        print(f"{asdict(recipe)}, seed {seed}")
        tokenized = tokenize(splits, tokenizer, config.max_text_length)
        run = fine_tune(model, tokenizer, splits, tokenized, arguments, model_arguments.trainable)
    return run.splits["test"]


if __name__ == "__main__":
    main(make_parser().given(sys.argv[1:]))
