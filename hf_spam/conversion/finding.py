"""Find what `--weights` names: a folder, or a repository on the Hub, whose weights come after its configuration."""

import os
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ..checkpoint.adapter import ADAPTER_WEIGHTS
from ..checkpoint.configuration import ADAPTER_CONFIG, CONFIG
from ..checkpoint.files import INDEX, SINGLE, find_file
from ..checkpoint.foreign_tokenizer import TOKENIZER_FILES
from ..errors import UserError
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..network.hub_download import download_repository
from ..system.manifest import MANIFEST_FILE
from ..system.reading import is_folder, read_json

# What the Hub calls the repositories that everybody calls so.
ALIASES = {
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "distilgpt2": "distilbert/distilgpt2",
}
_SMALL = [CONFIG, ADAPTER_CONFIG, MANIFEST_FILE, *TOKENIZER_FILES]
_SAFE = [SINGLE, INDEX, ADAPTER_WEIGHTS, "model-?????-of-?????.safetensors"]
_PICKLED = ["pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-?????-of-?????.bin"]
ALTERNATIVES = (
    "Alternatives: --weights FOLDER (a local GPT-2 folder), --weights random (train from scratch), "
    "or --preset quickstart (no download at all)."
)


def find_weights_folder(weights: str) -> tuple[Path, str | None]:
    """Return the folder of a checkpoint, and the repository that it was downloaded from, if it was.

    A folder of this name comes before a repository, as everywhere in transformers.

    Args:
        weights: A folder, `owner/name`, or one of `ALIASES`.

    Raises:
        UserError: If there is neither, or what is there is no GPT-2. Then no weights have been downloaded.
    """
    if is_folder(weights):
        _require_gpt2(Path(weights))
        return Path(weights), None
    name = ALIASES.get(weights, weights)
    if not _is_repository(name):
        raise UserError(
            f"expected weights hub, openai, random, {', '.join(ALIASES)}, a folder or a repository OWNER/NAME, found "
            f"no folder {weights!r}."
        )
    try:
        folder = download_repository(name, _SMALL)
        _require_gpt2(folder)
        folder = download_repository(name, [*_SMALL, *_SAFE])
        if not any(find_file(folder, file) for file in (SINGLE, INDEX, ADAPTER_WEIGHTS)):
            folder = download_repository(name, [*_SMALL, *_PICKLED])
    except UserError as error:
        if "could not download" not in str(error):
            raise
        raise UserError(f"--weights {weights}: found no such folder, and {error}", ALTERNATIVES) from None
    return folder, name


def _require_gpt2(folder: Path) -> None:
    """Refuse another architecture by its name. What is missing or damaged is refused where it is read."""
    path = find_file(folder, CONFIG)
    values: dict[str, Any] = {} if path is None else read_json(path)
    kind, architectures = values.get("model_type"), values.get("architectures")
    if not isinstance(kind, str) or kind in ("gpt2", SpamGPTConfig.model_type):
        return
    classes = ", ".join(map(str, architectures)) if isinstance(architectures, list) else "of no class"
    raise UserError(
        f"{path}: expected a GPT-2, found a {kind} model ({classes}). --weights takes models whose config.json says "
        f"model_type gpt2, and runs of ours."
    )


def _is_repository(name: str) -> bool:
    if name.count("/") != 1 or name.startswith((".", "~", os.sep)):
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True
