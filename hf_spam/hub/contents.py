"""What is pushed to a repository on the Hub: a model's files or a data set's splits, each with a card."""

import io
import json
import os
import stat
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path
from typing import get_args

from datasets import DatasetDict

from ..checkpoint.adapter import ADAPTER_WEIGHTS
from ..checkpoint.adapter_base import base_on_hub
from ..checkpoint.configuration import ADAPTER_CONFIG
from ..checkpoint.loading import read_weights
from ..checkpoint.opening import Kind, open_checkpoint
from ..data.arguments import DataArguments
from ..errors import UserError, one_line
from ..reporting.publishing import RESULTS_FILE
from ..system.manifest import CARD_FILE, MANIFEST_FILE, format_manifest
from ..system.reading import parse_json, read_regular
from ..system.run_folder import AGREEMENT_FILE, ARGUMENTS_FILE, METRICS_FILE
from .data_card import build_data_card, data_file
from .model_card import build_model_card
from .privacy import check_private, public_options
from .repository import Contents, Repository, publish
from .results import results_of

_MODEL = Path(__file__).parents[1] / "model"
_LARGEST_TEXT = 64 * 2**20  # bytes
CODE = (
    *("configuration_spam_gpt.py", "fields_spam_gpt.py", "gpt.py", "layers_spam_gpt.py"),
    *("pooling_spam_gpt.py", "backbone_spam_gpt.py", "modeling_spam_gpt.py"),
)
# In the order of a listing. Anything else in the folder is not pushed: checkpoints, caches, the user's own files.
MODEL_FILES = (
    *("config.json", "generation_config.json", "model*.safetensors", "model*.safetensors.index.json", "model.onnx*"),
    *(
        ADAPTER_CONFIG,
        ADAPTER_WEIGHTS,
        "tokenizer*.json",
        *CODE,
        METRICS_FILE,
        ARGUMENTS_FILE,
        AGREEMENT_FILE,
        "*-plot.png",
        "*-plot.pdf",
    ),
)


def model_contents(
    folder: Path,
    repository: str,
    license: str | None = None,
    base_model: str | None = None,
    report: Path | None = None,
) -> Contents:
    """Return a model's files and its card, by their path in the repository.

    A README.md in the folder is the user's and replaces the card. Recorded options that name places on this machine
    are left out. The model's code is that of this package: no other code is published, whatever lies in the folder.

    Args:
        folder: Written by `hf-spam train`, `hf-spam export` or `save_pretrained`.
        repository: `owner/name`, for the card.
        license: See `build_model_card`.
        base_model: The repository of an adapter's base, where its folder names another place.
        report: A report of the model, whose figures go along; see `results_of`. Else those in the folder go.

    Raises:
        UserError: If the folder does not hold a model of ours or the model is damaged, if one of the files is a link,
            or if a text among them holds a token or a place on this machine.
    """
    checkpoint = open_checkpoint(folder, get_args(Kind))
    if checkpoint.kind != "onnx":
        read_weights(checkpoint)
    base = base_on_hub(folder, checkpoint, base_model)
    present = sorted(folder.iterdir())  # not `glob`, which passes over a link that leads nowhere
    found = {
        file.name: file for pattern in (CARD_FILE, *MODEL_FILES) for file in present if fnmatch(file.name, pattern)
    }
    if report is None and (folder / RESULTS_FILE).parent in present:
        _check_own((folder / RESULTS_FILE).parent, stat.S_IFDIR)  # `hf-spam push --output_dir` wrote it
        found |= {RESULTS_FILE: folder / RESULTS_FILE} if os.path.lexists(folder / RESULTS_FILE) else {}
    for file in found.values():
        _check_own(file)
    contents: dict[str, Path | bytes] = {
        # What is read here is what is sent, whatever becomes of the file meanwhile.
        name: read_regular(file, _LARGEST_TEXT) if file.suffix in (".json", ".md", ".py", ".yaml") else file
        for name, file in found.items()
    }
    if CARD_FILE not in contents:
        contents = {CARD_FILE: build_model_card(folder, repository, license, checkpoint, base).encode(), **contents}
    if base is not None:
        record = contents[ADAPTER_CONFIG]
        assert isinstance(record, bytes)  # every JSON is
        adapter = parse_json(record, folder / ADAPTER_CONFIG) | {"base_model_name_or_path": base}
        contents[ADAPTER_CONFIG] = f"{json.dumps(adapter, indent=2, ensure_ascii=False)}\n".encode()
    if any(name in contents for name in CODE):  # all of it: an older folder's code had fewer files
        contents |= {name: (_MODEL / name).read_bytes() for name in CODE}
    metrics = contents.get(METRICS_FILE)
    training = parse_json(metrics, folder / METRICS_FILE).get("training") if isinstance(metrics, bytes) else None
    base_model = training.get("base_model") if isinstance(training, dict) else None
    for name in (ARGUMENTS_FILE, AGREEMENT_FILE):
        found_record = contents.get(name)
        if isinstance(found_record, bytes):
            options = public_options(parse_json(found_record, folder / name), base_model)
            contents[name] = f"{json.dumps(options, indent=2, ensure_ascii=False)}\n".encode()
    if report is not None:
        contents[RESULTS_FILE] = results_of(report, folder)
    check_private(contents, folder)
    # Not of the card, which its owner edits on the Hub.
    contents[MANIFEST_FILE] = format_manifest({name: file for name, file in contents.items() if name != CARD_FILE})
    return contents


def _check_own(file: Path, expected: int = stat.S_IFREG) -> None:
    """Refuse a link, whose target may be anybody's, and whatever is not of the expected type."""
    mode = file.lstat().st_mode
    if stat.S_IFMT(mode) != expected:
        kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFREG: "a file"}
        kind = kinds.get(stat.S_IFMT(mode), "no regular file")
        wanted = kinds[expected]
        raise UserError(f"{file}: refused, expected {wanted} of the run itself, found {kind}. Replace or remove it.")


def data_contents(
    splits: DatasetDict, source: str, arguments: DataArguments, repository: str, given: bool = False
) -> dict[str, Path | bytes]:
    """Return a data set's files, one Parquet file per split, and its card; see `build_data_card`."""
    card = build_data_card(splits, source, arguments, repository, given)
    contents: dict[str, Path | bytes] = {CARD_FILE: card.encode()}
    for name, rows in splits.items():
        file = io.BytesIO()
        rows.to_parquet(file)
        contents[data_file(name)] = file.getvalue()
    return contents


def push_model(folder: Path, contents: Contents, repository: Repository, message: str | None = None) -> str:
    """Push a folder's `model_contents` to a repository returned by `prepare_repository`; return the line that says so.

    Raises:
        UserError: See `repository.publish`.
    """
    url = publish(repository, contents, message or f"Upload {folder.name} with hf_spam")
    return one_line(f'pushed to {url}; try: hf-spam predict {repository.name} "your text"')
