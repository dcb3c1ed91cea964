"""What of a run's records others may read: no secret, and no place on the machine that trained."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import log2
from pathlib import Path
from typing import Any

import huggingface_hub

from ..errors import UserError

_PRIVATE_OPTIONS = {  # they name places on the machine that trained, or where its results were sent
    *("output_dir", "overwrite_output_dir", "cache_dir", "bpe_dir", "prefix_cache_dir", "push_to_hub", "report_to"),
    *("hub_model_id", "hub_private_repo", "hub_revision", "hub_always_push", "hub_strategy"),
}
_SECRET_WORDS = ("token", "key", "secret", "passw", "pwd", "credential", "auth", "cookie", "command")
_TOKEN = re.compile(
    r"\b(?:hf_(?!spam\b)|gh[pousr]_|github_pat_|npm_|api_org_|dckr_pat_)\w{3,}"  # what services begin theirs with
    r"|\b(?:sk|pk|rk|glpat|pypi|xox[abprs])-[\w-]{6,}|\b[spr]k_(?:live|test)_\w+|\bAIza[\w-]{10,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"
    r"|\beyJ[\w-]{5,}\.[\w-]{5,}"  # a JSON web token
    r"|-----BEGIN"
    r"|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
    r"|\b(?:Bearer|Basic)\s",
)
_ASSIGNED = re.compile(rf"(?i)(?:{'|'.join(_SECRET_WORDS)})[\w\"' -]*[:=]")
_PLACE = re.compile(r"^(?:[/~]|\.\.?[/\\]|[A-Za-z]:[\\/]|\\\\|file:)")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}", re.ASCII)
_DEEPEST = 20
_TEXT_SUFFIXES = (".json", ".md", ".py", ".yaml")


def public_options(options: Mapping[str, Any], base_model: object = None) -> dict[str, Any]:
    """Return a run's options without secrets and private places; other paths are reduced to the file's name.

    Numbers, booleans, null and plain words stay, also within lists and objects.

    Args:
        options: The options.
        base_model: The repository on the Hub that the run's weights came from, whose name is no path.
    """
    kept = {name: value for name, value in options.items() if name not in _PRIVATE_OPTIONS}
    public: dict[str, Any] = _public(kept, 0)
    if isinstance(base_model, str) and _REPOSITORY.fullmatch(base_model) and kept.get("weights") == base_model:
        public["weights"] = base_model
    name = kept.get("dataset_name")  # always one on the Hub
    if isinstance(name, str) and _REPOSITORY.fullmatch(name) and _public_text(name.replace("/", "-")) is not _Dropped:
        public["dataset_name"] = name
    return public


class _Dropped:
    """What has no public form."""


def _public(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        return _Dropped
    if isinstance(value, Mapping):
        kept = {name: _public(item, depth + 1) for name, item in value.items() if _is_public_name(name)}
        return {name: item for name, item in kept.items() if item is not _Dropped}
    if isinstance(value, list | tuple):
        items = [_public(item, depth + 1) for item in value]
        return [item for item in items if item is not _Dropped]
    return _public_text(value) if isinstance(value, str) else value


def _is_public_name(name: object) -> bool:
    letters = re.sub("[^a-z]", "", str(name).lower())
    secret = any(word in letters for word in _SECRET_WORDS)
    return not secret and _public_text(str(name)) == str(name)


def _public_text(text: str) -> Any:
    """Return a text, of a path the last part, or `_Dropped`."""
    parts = re.split(r"[/\\]", text)
    last = next((part for part in reversed(parts) if part), "")
    last = re.sub("^[A-Za-z]:", "", last) if len(parts) > 1 or re.match("[A-Za-z]:[^ ]", text) else text
    private = "://" in text or "@" in text or _TOKEN.search(text) or _ASSIGNED.search(text)
    return _Dropped if private or any(map(_looks_random, parts)) else last


def _looks_random(text: str) -> bool:
    """Tell whether a text holds what no person would write: long, without spaces, of characters in no order."""
    for run in re.findall(r"[A-Za-z0-9+=_-]{16,}", text):
        kinds = ["".join(kind for kind, test in _KINDS.items() if test(character)) for character in run]
        changes = sum(first != second for first, second in pairwise(kinds))
        words = re.split("[_+=-]", run)
        if changes >= 0.3 * len(run) and _entropy(run) > 3 and any(character.isdigit() for character in run):
            return True
        if max(map(len, words)) >= 32 or (changes >= 0.3 * len(run) and max(map(len, words)) >= 16):
            return True
    return False


_KINDS = {"a": str.islower, "A": str.isupper, "0": str.isdigit}


def _entropy(text: str) -> float:
    """Return the bits per character."""
    return -sum(count / len(text) * log2(count / len(text)) for count in Counter(text).values())


def check_private(contents: Mapping[str, Path | bytes], folder: Path, *tokens: str | None) -> None:
    """Check the files that are text before they are published.

    Args:
        contents: The files, by their path in the repository.
        folder: The run's own folder.
        tokens: What else must not get out.

    Raises:
        UserError: If one holds a token, or names the run's folder or the user's home; it names the file.
    """
    secrets = {token.encode() for token in (huggingface_hub.get_token(), *tokens) if token}
    places = {_spelling for place in _places(folder) for _spelling in _spellings(place)}
    for name, source in contents.items():
        if Path(name).suffix not in _TEXT_SUFFIXES:
            continue
        data = source if isinstance(source, bytes) else source.read_bytes()
        if any(secret in data for secret in secrets):
            raise UserError(f"{name}: refused, it holds a token. Take it out, and make the token invalid.")
        if any(re.search(re.escape(place) + rb"(?![\w.-])", data) for place in places):
            raise UserError(f"{name}: refused, it names a folder of this machine. Take it out, then push again.")
        if Path(name).suffix == ".json" and name not in ("tokenizer.json", "arguments.json", "agreement.json"):
            _check_values(name, data)


def _places(folder: Path) -> Iterator[Path]:
    """The folders that nobody else needs to know."""
    for place in (folder.absolute(), folder.resolve(), Path.home()):
        if len(place.parts) > 1:
            yield place


def _spellings(place: Path) -> set[bytes]:
    return {spelling.encode("utf-8", "surrogateescape") for spelling in (str(place), json.dumps(str(place))[1:-1])}


def _check_values(name: str, data: bytes) -> None:
    try:
        values = _leaves(json.loads(data))
        private = next((value for value in values if _PLACE.match(value) or _TOKEN.search(value)), None)
    except (ValueError, RecursionError):
        return  # what reads it says what is wrong
    if private is not None:
        raise UserError(f"{name}: refused, it holds a path of this machine or a token. Take it out, then push again.")


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, str):
        yield value
