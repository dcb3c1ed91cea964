"""What a repository on the Hub holds: a model's files and their card, or a data set's splits and theirs."""

import io
import json
from pathlib import Path

from datasets import DatasetDict

from ..data.arguments import DataArguments
from ..system.run_folder import AGREEMENT_FILE, ARGUMENTS_FILE, METRICS_FILE
from .data_card import build_data_card, data_file
from .model_card import build_model_card, public_options
from .repository import Repository, publish

CARD = "README.md"
CODE = ("configuration_spam_gpt.py", "gpt.py", "modeling_spam_gpt.py")
# In the order of a listing; what else lies in the folder stays there (checkpoints, caches, a user's own files).
MODEL_FILES = (
    *("config.json", "generation_config.json", "model*.safetensors", "model*.safetensors.index.json", "model.onnx*"),
    *("tokenizer*.json", *CODE, METRICS_FILE, ARGUMENTS_FILE, AGREEMENT_FILE, "*-plot.png", "*-plot.pdf"),
)


def model_contents(folder: Path, repository: str, license: str | None = None) -> dict[str, Path | bytes]:
    """The files of a model, with its card.

    A README.md that lies in the folder is the user's, and goes as it is. Of the options that the run was given, those
    that name places on this machine stay here.

    Args:
        folder: What `hf-spam train` or `hf-spam export` wrote, or `save_pretrained`.
        repository: `owner/name`, which the card names.
        license: See `build_model_card`.

    Raises:
        UserError: If the folder holds no model of ours.
    """
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
    """The files of a data set, a Parquet file for each split, with its card; see `build_data_card`."""
    contents: dict[str, Path | bytes] = {CARD: build_data_card(splits, source, arguments, repository).encode()}
    for name, rows in splits.items():
        file = io.BytesIO()
        rows.to_parquet(file)
        contents[data_file(name)] = file.getvalue()
    return contents


def push_model(folder: Path, repository: Repository, license: str | None = None, message: str | None = None) -> str:
    """Fill a repository that `hub.prepare_repository` returned, and say where it is.

    Raises:
        UserError: See `hub.publish`.
    """
    contents = model_contents(folder, repository.name, license)
    url = publish(repository, contents, message or f"Upload {folder.name} with hf_spam")
    return f'pushed to {url}; try: hf-spam predict {repository.name} "your text"'
