"""Where the base of an adapter is: in the adapter's folder, in a repository on the Hub, or in another folder of ours.

A stranger's adapter may name any folder of this machine. One outside the adapter's is followed only if its weights are
those that the run's record names by their hash.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ..errors import UserError
from ..network.hub_download import download_repository
from ..system.files import hash_file
from ..system.manifest import MANIFEST_FILE, is_hash, read_manifest
from ..system.own_files import BASE_FOLDER, METRICS_FILE
from ..system.reading import is_folder, read_json
from .adapter import Adapter
from .configuration import ADAPTER_CONFIG, CONFIG
from .files import find_file, find_weights

if TYPE_CHECKING:
    from .opening import Checkpoint

BASE_FILES = ["*.json", "model*.safetensors"]
BASE_HASH = "base_weights_sha256"


def find_base(folder: Path, adapter: Adapter) -> Path:
    """Return the folder of an adapter's base; one from the Hub is downloaded.

    The base in the adapter's own folder comes first: it moves with it.

    Raises:
        UserError: If there is none, or it is not the one that the adapter was trained on.
    """
    inner = folder / BASE_FOLDER
    if inner.is_symlink():
        raise UserError(f"{inner}: expected the folder of the adapter's base, found a link. Copy the base there.")
    if inner.is_dir():
        return inner
    expected = _recorded_hash(folder)
    if is_repository(adapter.base):
        try:
            found = download_repository(adapter.base, BASE_FILES)
        except UserError as error:
            raise UserError(f"{folder}: the base of this adapter is {adapter.base}: {error}") from None
    else:
        found = _find_folder(folder, adapter, expected)
    if expected is not None and hash_weights(found) != expected:
        raise UserError(
            f"{folder}: expected the base that this adapter was trained on, found other weights in {adapter.base}. "
            f"Put them back, or copy the right ones to {inner}."
        )
    return found


def is_repository(base: str) -> bool:
    """Tell whether a base is a repository on the Hub, `owner/name`, and no folder's path."""
    if base.count("/") != 1 or base.startswith((".", "~", "/")):
        return False
    try:
        validate_repo_id(base)
    except HFValidationError:
        return False
    return True


def base_on_hub(folder: Path, opened: "Checkpoint", base_model: str | None) -> str | None:
    """Return the repository of an adapter's base, by which others find it; `None` for what is no adapter.

    Args:
        folder: The adapter's.
        opened: The same, opened.
        base_model: The repository, where the adapter names another place.

    Raises:
        UserError: If the base is on this machine alone, or the repository holds other weights.
    """
    if opened.adapter is None or opened.base is None:
        if base_model is not None:
            raise UserError(f"--base_model {base_model}: expected an adapter in {folder}, found none. Leave it out.")
        return None
    place = opened.base.folder
    if base_model is None or base_model == opened.adapter.base:
        if is_repository(opened.adapter.base):
            return opened.adapter.base
        raise UserError(
            f"{folder}: expected the base of the adapter on the Hub, found it in {place} alone. Push it first "
            f"(hf-spam push {place} OWNER/BASE) and name it by --base_model OWNER/BASE; or push both as one model "
            f"(hf-spam export {folder} --format merged --output_dir MERGED, and hf-spam push MERGED)."
        )
    listed = read_manifest(download_repository(base_model, [MANIFEST_FILE])) or {}
    files = find_weights(place, "Put the weights back.")
    if any(listed.get(file.name, {}).get("sha256") != hash_file(file) for file in files):
        raise UserError(
            f"--base_model {base_model}: expected the weights of {place}, found others there. Push them first: "
            f"hf-spam push {place} {base_model}"
        )
    return base_model


def _find_folder(folder: Path, adapter: Adapter, expected: str | None) -> Path:
    place = Path(adapter.base)
    # No word on whether something is there: a stranger's adapter may ask.
    if expected is None or not adapter.base or not is_folder(place) or find_file(place, CONFIG) is None:
        raise UserError(
            f"{folder / ADAPTER_CONFIG}: expected the base of the adapter, found none at base_model_name_or_path "
            f"{adapter.base!r} that belongs to it. Put the folder of the base back, or copy it to "
            f"{folder / BASE_FOLDER}."
        )
    return place


def _recorded_hash(folder: Path) -> str | None:
    file = find_file(folder, METRICS_FILE)
    training = read_json(file).get("training") if file is not None else None
    found = training.get(BASE_HASH) if isinstance(training, dict) else None
    return found if is_hash(found) else None


def hash_weights(folder: Path) -> str:
    """Return the SHA-256 of the hashes of all files that hold a folder's weights."""
    files = find_weights(folder, "Put the weights back.")
    return hashlib.sha256("".join(hash_file(file) for file in files).encode()).hexdigest()
