"""What is known of each run, in one file that grows with them: an interrupted command goes on from it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..system.files import write_atomically
from ..system.reading import read_json

RESULTS = "results.json"
_FORMAT = 1


@dataclass(frozen=True)
class Planned:
    """A run that is to be: an experiment with a seed, and all its options.

    Attributes:
        name: The experiment's.
        seed: The run's.
        options: Those of `hf-spam train`, without places.
    """

    name: str
    seed: int
    options: dict[str, Any]

    @property
    def label(self) -> str:
        """How the run is called in files and lines."""
        return f"{self.name}-seed-{self.seed}"

    @property
    def key(self) -> str:
        """What the run's result depends on; equal for runs that must come out the same."""
        return json.dumps(self.options | {"seed": self.seed}, sort_keys=True)


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        name: The experiment's.
        seed: The run's.
        options: As planned.
        accuracies: Of each split, from 0 to 1.
        messages: How many each split has.
        losses: Of each split.
        seconds: Of the training.
        peak_mb: The process's highest memory during the run, or the GPU's, in MB (10^6 bytes); `None` where unknown.
        parameters: Of the model.
        trained_parameters: Of these, how many trained.
        environment: The machine and the versions.
    """

    name: str
    seed: int
    options: dict[str, Any]
    accuracies: dict[str, float]
    messages: dict[str, int]
    losses: dict[str, float]
    seconds: float
    peak_mb: float | None
    parameters: int
    trained_parameters: int
    environment: dict[str, Any]


def load_results(folder: Path) -> list[Result]:
    """Return the results so far.

    Raises:
        UserError: If the file is damaged.
    """
    path = folder / RESULTS
    if not path.is_file():
        return []
    values = read_json(path)
    try:
        if values.get("format") != _FORMAT:
            raise TypeError("format")
        return [Result(**value) for value in values["runs"]]
    except (TypeError, KeyError):
        raise UserError(
            f"{path}: expected the results of hf-spam experiments, found something else. Choose another --output_dir."
        ) from None


def save_results(folder: Path, results: Iterable[Result]) -> None:
    """Write the results, whole or not at all."""
    text = json.dumps({"format": _FORMAT, "runs": [asdict(result) for result in results]}, indent=1)
    write_atomically(folder / RESULTS, f"{text}\n".encode())


def find_done(planned: Iterable[Planned], results: Iterable[Result], folder: Path) -> dict[str, Result]:
    """Return the results of planned runs by their label.

    Raises:
        UserError: If a run of that name and seed has had other options.
    """
    by_label = {Planned(result.name, result.seed, result.options).label: result for result in results}
    done = {}
    for run in planned:
        result = by_label.get(run.label)
        if result is None:
            continue
        if changed := _changed(result.options, json.loads(json.dumps(run.options))):
            raise UserError(
                f"{folder / RESULTS}: holds {run.name} with seed {run.seed}, whose {', '.join(changed)} was another. "
                f"Choose another --output_dir, or --overwrite_output_dir to start anew."
            )
        done[run.label] = result
    return done


def _changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [f"--{name}" for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
