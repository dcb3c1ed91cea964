"""What a run's folder has to show: its figures, its confusion matrix and its plots."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..system.reading import read_json, read_regular
from ..system.run_folder import METRICS_FILE

_PLOTS = {
    "loss-plot.png": "The loss over the epochs",
    "accuracy-plot.png": "The accuracy over the epochs",
    "confusion-plot.png": "The confusion matrix of the test split",
}
_LARGEST = 1_000_000  # bytes of a plot
_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_LABELS = 25


@dataclass(frozen=True)
class Record:
    """What there is to show.

    Attributes:
        figures: By split, by the figure's name.
        confusion: The counts of the test split by true and predicted label; empty if there are none.
        plots: Images as data URIs, by what they show.
    """

    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    confusion: list[list[int]] = field(default_factory=list)
    plots: dict[str, str] = field(default_factory=dict)


def read_record(folder: Path, labels: int) -> Record:
    """Return what a folder has; what it lacks or has in another form is left out.

    Args:
        folder: The model's.
        labels: How many labels the model has.
    """
    splits = _splits(folder)
    figures = {
        name: {key: float(value) for key, value in split.items() if _is_number(value)}
        for name, split in splits.items()
    }
    found = splits.get("test", {}).get("confusion")
    shaped = (
        isinstance(found, list)
        and len(found) == labels <= _MOST_LABELS
        and all(isinstance(row, list) and len(row) == labels and all(map(_is_number, row)) for row in found)
    )
    plots = {caption: uri for name, caption in _PLOTS.items() if (uri := _image(folder / name)) is not None}
    return Record({name: row for name, row in figures.items() if row}, found if shaped and found else [], plots)


def _splits(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        found = read_json(folder / METRICS_FILE).get("splits")
    except UserError:
        return {}
    if not isinstance(found, Mapping):
        return {}
    return {name: dict(split) for name, split in found.items() if isinstance(split, Mapping)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _image(path: Path) -> str | None:
    try:
        content = b"" if path.is_symlink() else read_regular(path, _LARGEST)
    except UserError:
        return None
    return f"data:image/png;base64,{base64.b64encode(content).decode()}" if content.startswith(_PNG) else None
