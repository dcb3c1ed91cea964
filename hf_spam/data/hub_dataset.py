"""A data set on the Hugging Face Hub as tables, through `datasets.load_dataset`; and a single file of one.

No code of the repository runs: `datasets` 5 has no loading scripts, and repositories that have one are refused.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import huggingface_hub

from ..errors import UserError
from ..network.hub_http import ODD_ANSWERS, httpx, without_tokens
from ..network.watchdog import GaveUp, Meter, Patience, watch
from ..tables.columns import Part, Rows, Wanted, choose_columns, list_names
from ..tables.folders import ALL
from ..tables.table import Paths, Table, join

if TYPE_CHECKING:
    from datasets import Dataset

T = TypeVar("T")

_HUB = "hf://"
_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_FILE = re.compile(r"hf://datasets/(?P<name>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?/(?P<path>[^*?\[]+)")
_PATIENCE = Patience(seconds=6 * 3600, window=600, rate=0, largest=0)  # the client itself gives up on a silent server


def load_hub_dataset(
    name: str,
    *,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    needs_label: bool = True,
) -> dict[str, Table]:
    """Return the tables of a data set on the Hub by the names of its splits.

    Args:
        name: `owner/name`.
        config: The name of the configuration, if it has several.
        split: One split, or a slice such as `train[:10%]`; it is then the only table, named `all`.
        revision: A branch, tag or commit.
        text_column: See `tables.table.open_table`.
        label_column: See there.
        needs_label: See there.

    Raises:
        UserError: If there is none, it cannot be downloaded, or its columns are not recognised.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"--dataset_name: expected OWNER/NAME, found {name!r}.")
    if Path(name).exists():  # which `load_dataset` would take
        raise UserError(
            f"--dataset_name: expected the name of a data set on the Hub, found the folder {name} here. Give it with "
            f"--data_dir."
        )

    import datasets  # seconds, which prediction does without

    def load() -> Any:
        return datasets.load_dataset(name, config, split=split, revision=revision)

    found = _ask(load, f"the data set {name}", datasets.exceptions.DatasetsError)
    if isinstance(found, datasets.Dataset):
        found = {ALL: found}
    wanted = Wanted(text_column, label_column, needs_label)
    return {
        str(key): _to_table(rows, f"{name}, {key}" if len(found) > 1 else name, wanted) for key, rows in found.items()
    }


def locate(paths: Paths) -> Paths:
    """Return names of files, those on the Hub (`hf://`) as their copies in the cache; see `fetch`."""
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not any(is_on_hub(path) for path in given):
        return paths
    found = [fetch(str(path)) if is_on_hub(path) else path for path in given]
    return found[0] if len(found) == 1 else found


def is_on_hub(path: str | os.PathLike[str]) -> bool:
    """Tell whether a name is that of a file on the Hub."""
    return str(path).startswith(_HUB)


def fetch(url: str) -> Path:
    """Return the copy in the cache of a file of a data set on the Hub.

    Args:
        url: `hf://datasets/owner/name/path`, with `@revision` after the name if it is not `main`.

    Raises:
        UserError: If the address has another form, or the file cannot be downloaded.
    """
    match = _FILE.fullmatch(url)
    if match is None:
        raise UserError(
            f"{url}: expected hf://datasets/OWNER/NAME/FILE with the name of one file. For a whole data set: "
            f"--dataset_name OWNER/NAME"
        )

    def download() -> str:
        return huggingface_hub.hf_hub_download(
            match["name"], match["path"], repo_type="dataset", revision=match["revision"]
        )

    return Path(_ask(download, url))


def _ask(work: Callable[[], T], what: str, *faults: type[Exception]) -> T:
    try:
        return watch(work, Meter(), _PATIENCE)
    except UserError:
        raise
    except (OSError, GaveUp, httpx.HTTPError, *ODD_ANSWERS, *faults) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        reason = without_tokens(" ".join(lines[:3]))
        raise UserError(f"could not load {what} from the Hugging Face Hub: {reason}") from None


def _to_table(rows: "Dataset", name: str, wanted: Wanted) -> Table:
    from datasets import ClassLabel

    chosen = choose_columns(rows.column_names, wanted.text_column, wanted.label_column, wanted.needs_label, name)
    # The columns that are used: to read others (pictures, sounds) may need other libraries.
    used = rows.select_columns([*chosen.texts, *chosen.labels])
    classes = {}
    for column in chosen.labels:
        feature = used.features[column]
        while not isinstance(feature, ClassLabel) and hasattr(feature, "feature"):
            feature = feature.feature
        if isinstance(feature, ClassLabel):
            classes[column] = list(feature.names)

    def numbered() -> Rows:
        yield from enumerate(used, 1)

    notes = [f"of {list_names(rows.column_names)}"]
    return join([Part(name, used.column_names, chosen.texts, chosen.labels, notes, classes, numbered)])
