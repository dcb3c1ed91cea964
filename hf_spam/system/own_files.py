"""Which entries of a folder are ours: nothing else is ever deleted or replaced.

A folder is ours if it is empty, or if one of its files shows that we wrote it and every entry has a name that we give.
"""

import re
import shutil
from pathlib import Path

from ..errors import UserError
from .files import hash_file
from .manifest import CARD_FILE, MANIFEST_FILE, read_manifest
from .reading import read_json

ARGUMENTS_FILE = "arguments.json"
METRICS_FILE = "metrics.json"
AGREEMENT_FILE = "agreement.json"
STATE_FILE = "review_classifier.pth"  # the name that the chapter gives its classifier
MARKER_FILE = ".hf-spam"  # in a folder that we have not finished, or not yet cleaned up
SEAL_FILE = "seal.json"
BASE_FOLDER = "base"  # of an adapter: a checkpoint of ours

_EVIDENCE = (STATE_FILE, AGREEMENT_FILE, METRICS_FILE, ARGUMENTS_FILE, MANIFEST_FILE, MARKER_FILE)
_WEIGHTS = re.compile(r"(adapter_)?model(-\d+-of-\d+)?\.safetensors|model\.onnx|review_classifier\.pth", re.ASCII)
_FILES = re.compile(
    r"((generation|adapter)_)?config\.json|(adapter_)?model(-\d+-of-\d+)?\.safetensors(\.index\.json)?"
    r"|model\.onnx(\.data)?|tokenizer(_config)?\.json|special_tokens_map\.json|added_tokens\.json|vocab\.json|merges\.txt"
    r"|page(-(bpe|table|model|runtime))?\.(js|css)|ort\.wasm\.min\.js|onnxruntime-(LICENSE|ThirdPartyNotices)\.txt"
    r"|((configuration|fields|layers|pooling|backbone|modeling)_spam_gpt|gpt)\.py|(loss|accuracy)-plot\.(png|pdf)",
    re.ASCII,
)
_TEMPORARY_FILES = re.compile(r"\.[\w.-]+\.[0-9a-f]{8}\.partial", re.ASCII)
_CACHE_FILES = re.compile(r"prefix-[0-9a-f]{16}(-\d+)?\.(bin|partial|lock)", re.ASCII)
_TEMPORARY_FOLDERS = re.compile(r"\.run-\w{8}", re.ASCII)
_CHECKPOINTS = re.compile(r"(superseded-)?checkpoint-\d{1,18}", re.ASCII)
_LOGS = "runs"  # TensorBoard's
_LOG_FILES = re.compile(r"events\.out\.tfevents\..+")
_SHOWN = 3  # entries that a message names


def require_ours(folder: Path, remedy: str = "Choose another --output_dir.") -> None:
    """Refuse a folder that may not be deleted or replaced.

    Raises:
        UserError: If the folder holds anything that is not ours, or nothing that shows that it is a run.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise UserError(f"{folder}: expected a folder for the run, found {_kind(folder)}. {remedy}")
    if strange := list_strange(folder):
        more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
        names = ", ".join(strange[:_SHOWN])
        raise UserError(f"{folder}: holds {names}{more}, which hf-spam did not write there. {remedy}")
    if not is_empty(folder) and not _has_evidence(folder):
        raise UserError(f"{folder}: holds files, but nothing shows that hf-spam wrote them. {remedy}")


def list_strange(folder: Path) -> list[str]:
    """Return the names of a folder's entries that we do not write."""
    return [path.name for path in sorted(folder.iterdir()) if not _is_ours(path)]


def is_empty(folder: Path) -> bool:
    """Tell whether a folder holds nothing, or only what a killed process was about to write."""
    return all(_TEMPORARY_FILES.fullmatch(path.name) and _is_file(path) for path in folder.iterdir())


def has_checkpoints(folder: Path) -> bool:
    """Tell whether a folder holds sealed checkpoints; the seal is written last."""
    return any(path.match("checkpoint-*") and (path / SEAL_FILE).is_file() for path in _checkpoints(folder))


def has_weights(folder: Path) -> bool:
    """Tell whether a folder holds a trained model: its weights are the first that is saved after training."""
    return folder.is_dir() and any(_WEIGHTS.fullmatch(path.name) for path in folder.iterdir())


def lasting_files(folder: Path) -> list[Path]:
    """Return the files that make up a finished run: neither checkpoints, caches and logs nor the manifest."""
    passing = (MANIFEST_FILE, MARKER_FILE)
    base = sorted((folder / BASE_FOLDER).iterdir()) if (folder / BASE_FOLDER).is_dir() else []
    return [
        path
        for path in [*sorted(folder.iterdir()), *base]
        if path.is_file() and path.name not in passing and not _is_passing_file(path)
    ]


def remove_passing(folder: Path) -> None:
    """Remove from a finished run what it needed only on the way, the marker last.

    Checkpoints stay if the run's options say so.
    """
    keep = _keeps_checkpoints(folder)
    for path in sorted(folder.iterdir()):
        if _is_passing_file(path):
            path.unlink()
        elif _TEMPORARY_FOLDERS.fullmatch(path.name) and not path.is_symlink():
            shutil.rmtree(path)
    if not keep:
        for path in _checkpoints(folder):
            remove_checkpoint(path)
    if _is_file(folder / MARKER_FILE):
        (folder / MARKER_FILE).unlink()


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint, its seal first: what is left of it, if this is interrupted, is no checkpoint."""
    (folder / SEAL_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder)


def remove_ours(folder: Path) -> None:
    """Remove a folder of ours. What shows that it is ours goes last, so that an interrupted removal can go on.

    Raises:
        UserError: See `require_ours`.
    """
    require_ours(folder)
    for path in sorted(folder.iterdir(), key=lambda path: path.name in _EVIDENCE):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    folder.rmdir()


def _is_ours(path: Path) -> bool:
    if path.is_symlink():
        return False
    if path.is_dir():
        if path.name == _LOGS:
            return all(inner.is_dir() or _LOG_FILES.fullmatch(inner.name) for inner in path.rglob("*"))
        if path.name == BASE_FOLDER:
            return all(not it.is_symlink() and it.is_file() and _FILES.fullmatch(it.name) for it in path.iterdir())
        return bool(_TEMPORARY_FOLDERS.fullmatch(path.name) or _CHECKPOINTS.fullmatch(path.name))
    if not path.is_file():
        return False
    named = path.name in _EVIDENCE or _FILES.fullmatch(path.name) or _is_passing_file(path)
    return bool(named) or _is_as_written(path)


def _is_as_written(path: Path) -> bool:
    """Tell whether a file, such as a card, is as we wrote it: a user may have edited it since."""
    if path.name == CARD_FILE and (path.parent / MARKER_FILE).is_file():
        return True  # it is just being written
    try:
        entry = (read_manifest(path.parent) or {}).get(path.name)
        return entry is not None and entry["sha256"] == hash_file(path)
    except (UserError, OSError):
        return False


def _is_passing_file(path: Path) -> bool:
    return _is_file(path) and bool(_TEMPORARY_FILES.fullmatch(path.name) or _CACHE_FILES.fullmatch(path.name))


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [path for path in sorted(folder.iterdir()) if _CHECKPOINTS.fullmatch(path.name)]
    return [path for path in found if path.is_dir() and not path.is_symlink()]


def _has_evidence(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _EVIDENCE) or has_checkpoints(folder)


def _keeps_checkpoints(folder: Path) -> bool:
    try:
        return bool(read_json(folder / ARGUMENTS_FILE).get("keep_checkpoints", False))
    except UserError:
        return False


def _kind(path: Path) -> str:
    return "a link" if path.is_symlink() else "a file" if path.exists() else "nothing"
