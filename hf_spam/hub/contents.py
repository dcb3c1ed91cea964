"""What is pushed to a repository on the Hub: a model's files or a data set's splits, each with a card."""

import io
import json
from pathlib import Path
from typing import get_args

from datasets import DatasetDict

from ..checkpoint.opening import Kind, open_checkpoint, read_weights
from ..data.arguments import DataArguments
from ..system.run_folder import AGREEMENT_FILE, ARGUMENTS_FILE, METRICS_FILE
from .data_card import build_data_card, data_file
from .model_card import build_model_card, public_options
from .repository import Repository, publish

CARD = "README.md"
CODE = ("configuration_spam_gpt.py", "gpt.py", "modeling_spam_gpt.py")
# In the order of a listing. Anything else in the folder is not pushed: checkpoints, caches, the user's own files.
MODEL_FILES = (
    *("config.json", "generation_config.json", "model*.safetensors", "model*.safetensors.index.json", "model.onnx*"),
    *("tokenizer*.json", *CODE, METRICS_FILE, ARGUMENTS_FILE, AGREEMENT_FILE, "*-plot.png", "*-plot.pdf"),
)


def model_contents(folder: Path, repository: str, license: str | None = None) -> dict[str, Path | bytes]:
    """Return a model's files and its card, by their path in the repository.

    A README.md in the folder is the user's and replaces the card. Recorded options that name places on this machine
    are left out.

    Args:
        folder: Written by `hf-spam train`, `hf-spam export` or `save_pretrained`.
        repository: `owner/name`, for the card.
        license: See `build_model_card`.

    Raises:
        UserError: If the folder does not hold a model of ours, or the model is damaged.
    """
    checkpoint = open_checkpoint(folder, get_args(Kind))
    if checkpoint.kind != "onnx":
        read_weights(checkpoint)
    card: Path | bytes = folder / CARD
    if not (folder / CARD).is_file():
        card = build_model_card(folder, repository, license).encode()
    contents: dict[str, Path | bytes] = {CARD: card}
    for pattern in MODEL_FILES:
        contents |= {file.name: file for file in sorted(folder.glob(pattern)) if file.is_file()}
    for name in (ARGUMENTS_FILE, AGREEMENT_FILE):
        if name in contents:
            options = public_options(json.loads((folder / name).read_text(encoding="utf-8")))
            contents[name] = f"{json.dumps(options, indent=2, ensure_ascii=False)}\n".encode()
    return contents


def data_contents(
    splits: DatasetDict, source: str, arguments: DataArguments, repository: str
) -> dict[str, Path | bytes]:
    """Return a data set's files, one Parquet file per split, and its card; see `build_data_card`."""
    contents: dict[str, Path | bytes] = {CARD: build_data_card(splits, source, arguments, repository).encode()}
    for name, rows in splits.items():
        file = io.BytesIO()
        rows.to_parquet(file)
        contents[data_file(name)] = file.getvalue()
    return contents


def push_model(folder: Path, repository: Repository, license: str | None = None, message: str | None = None) -> str:
    """Push a model to a repository returned by `prepare_repository`, and return the line that reports it.

    Raises:
        UserError: See `repository.publish`.
    """
    contents = model_contents(folder, repository.name, license)
    url = publish(repository, contents, message or f"Upload {folder.name} with hf_spam")
    return f'pushed to {url}; try: hf-spam predict {repository.name} "your text"'
