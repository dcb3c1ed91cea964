"""The search itself: the Trainer's own `hyperparameter_search` with Optuna, and a study that outlives its process."""

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from torch import nn
from transformers import Trainer, TrainingArguments

from ..errors import UserError, install_hint
from .space import Space

STUDY_FILE = "study.sqlite3"
_NAME = "hf-spam"
_ASKED = "asked"  # what a study searches, among its own attributes
_MAGIC = b"SQLite format 3\0"

Objective = Literal["loss", "accuracy"]
DIRECTIONS: dict[str, str] = {"loss": "minimize", "accuracy": "maximize"}
Trial = dict[str, Any]  # `number`, `settings`, `loss`, `accuracy`, `seconds`, `steps`
Try = Callable[[dict[str, Any]], dict[str, Any]]


class TrialDriver(Trainer):
    """The Trainer that `hyperparameter_search` drives: each `train` is a whole run, from its options to its figures.

    Its own `train` would set attributes on one set of arguments, unchecked, and train with the callbacks, the decay
    and the batches of the trial before. Ours passes the trial's options to what `hf-spam train` calls, so that the
    best setting gives there, to the last bit, what it gave here.

    Args:
        arguments: Of the training without a search.
        space: What is searched.
        seed: Of the draws. A trial draws by it and by the number of finished trials: a search that was interrupted
            tries what it would have tried.
        try_settings: Trains with the settings and returns the figures of the validation split.
        report: Called after each trial with the figures.
    """

    def __init__(
        self,
        arguments: TrainingArguments,
        space: Space,
        seed: int,
        try_settings: Try,
        report: Callable[[Trial], None],
    ) -> None:
        self.objective: float | None = None
        stand_in: Any = lambda: nn.Linear(1, 1)  # noqa: E731  # asked for, but never trained
        super().__init__(model_init=stand_in, args=arguments)
        self.space = space
        self.seed = seed
        self.try_settings = try_settings
        self.report = report

    def draw(self, trial: Any) -> dict[str, Any]:
        """Return the settings that a trial tries."""
        from optuna.samplers import TPESampler

        trial.study.sampler = TPESampler(seed=self.seed + len(finished_trials(trial.study)))
        return {parameter.name: parameter.suggest(trial) for parameter in self.space}

    def train(self, resume_from_checkpoint: Any = None, trial: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train with the trial's settings and keep its figures in the study."""
        settings = self.hp_space(trial)
        figures = self.try_settings(settings)
        record = {"settings": settings, **figures}
        for name, value in record.items():
            trial.set_user_attr(name, value)
        self.objective = self.compute_objective(figures)
        self.report({"number": len(finished_trials(trial.study)) + 1, **record})


def require_optuna() -> None:
    """Refuse a search without Optuna.

    Raises:
        UserError: With the command that installs it.
    """
    if importlib.util.find_spec("optuna") is None:
        raise UserError(f"a search needs Optuna. Install it: {install_hint('search')}")


def finished_trials(study: Any) -> list[Trial]:
    """Return the finished trials of a study, in order; those that were interrupted do not count."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [{"number": number, **trial.user_attrs} for number, trial in enumerate(trials, start=1)]


@contextmanager
def open_study(folder: Path, asked: Mapping[str, Any], objective: Objective) -> Iterator[tuple[Any, Any]]:
    """Yield the study of a folder, a new one or the one that goes on there, and the storage that it is in.

    Args:
        folder: Where its SQLite file is.
        asked: What is searched: the space, the other options, the objective. JSON values.
        objective: What is judged by.

    Raises:
        UserError: If the file is no study, or one that was asked for something else.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it warns of an interrupted trial with a traceback
    file = folder / STUDY_FILE
    if file.exists() and not _may_be_study(file):
        raise UserError(
            f"{file}: expected a study of hf-spam search, found something else. Choose another --output_dir."
        )
    if "?" in str(file):
        raise UserError(f"{file}: expected a path without a question mark, which SQLite reads as the end of it.")
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
        study = optuna.create_study(
            storage=storage, study_name=_NAME, direction=DIRECTIONS[objective], load_if_exists=True
        )
        if _ASKED not in study.user_attrs and not study.get_trials(deepcopy=False):
            study.set_user_attr(_ASKED, json.dumps(asked))
        known = json.loads(study.user_attrs[_ASKED])
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else ""
        raise UserError(
            f"{file}: cannot be read as a study of hf-spam search ({type(error).__name__}: {reason}). Choose another "
            f"--output_dir."
        ) from None
    try:
        require_same(file, known, json.loads(json.dumps(asked)))
        yield study, storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _may_be_study(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(len(_MAGIC)) in (_MAGIC, b"")


def require_same(file: Path, known: Any, asked: Mapping[str, Any]) -> None:
    """Refuse to go on with a study that was asked for something else.

    Raises:
        UserError: With what differs.
    """
    known = known if isinstance(known, dict) else {}
    changed = [name for name in asked if known.get(name) != asked[name]]
    if changed == ["options"] and isinstance(known.get("options"), dict):
        one, other = known["options"], asked["options"]
        changed = [f"--{name}" for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    if changed:
        raise UserError(
            f"{file}: holds a search of another {', '.join(changed)}. Choose another --output_dir, or delete that one."
        )


def run_trials(
    study: Any, storage: Any, driver: TrialDriver, objective: Objective, trials: int, start: dict[str, Any] | None
) -> None:
    """Try settings until the study has so many finished trials.

    Args:
        study: From `open_study`.
        storage: The same.
        driver: Trains them.
        objective: The figure that they are judged by.
        trials: How many there will be.
        start: The setting that is tried first, if any.

    Raises:
        Interrupted: If SIGTERM or Ctrl-C came. What is finished stays.
    """
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):  # of a process that was killed
        study.tell(trial.number, state=TrialState.FAIL)
    done = len(finished_trials(study))
    if start is not None and not done and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.enqueue_trial(start)
    if done < trials:
        driver.hyperparameter_search(
            hp_space=driver.draw,
            compute_objective=lambda figures: figures[objective],
            n_trials=trials - done,
            direction=DIRECTIONS[objective],
            backend="optuna",
            storage=storage,
            study_name=_NAME,
            load_if_exists=True,
        )


def best_trial(trials: list[Trial], objective: Objective) -> Trial:
    """Return the best of finished trials; of several with the same accuracy the one with the least loss."""
    sign = 1 if objective == "loss" else -1
    return min(trials, key=lambda trial: (sign * trial[objective], trial["loss"], trial["number"]))
