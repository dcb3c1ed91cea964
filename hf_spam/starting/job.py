"""A run that is asked for: its options and its place, where it continues, and what must be right before it starts."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.arguments import DataArguments
from ..data.hub_dataset import is_on_hub
from ..errors import UserError
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..system import processes
from ..system.files import folder_size, write_atomically
from ..system.place import require_room
from ..system.reading import read_json
from ..system.run_folder import ARGUMENTS_FILE, check_writable, partial_folder
from ..tables.table import expand
from ..trainable.adapters import count_adapters
from ..trainable.freezing import freeze
from ..training.arguments import ModelArguments, SpamTrainingArguments
from ..training.checkpoints import bytes_needed, remove_unsealed
from ..training.presets import PRESETS
from ..training.resuming import find_checkpoint, set_aside_later
from ..values.set_up import suspects
from .stored_options import PLACES


@dataclass(frozen=True)
class Job:
    """The options of a run: as they were given, and by what they are for."""

    options: dict[str, Any]
    place: Path  # where the finished run goes
    data: DataArguments
    model: ModelArguments
    training: SpamTrainingArguments

    @property
    def trainers_own(self) -> dict[str, Any]:
        """The Trainer's own options that were given, not by the preset."""
        preset = PRESETS[self.options["preset"]]
        return {
            name: self.options[name]
            for name in suspects(self.training)
            if name in self.options and self.options[name] != preset.get(name)
        }


def check_options(job: Job) -> None:
    """Refuse options that contradict each other, before anything is read.

    Raises:
        UserError: If two of them do.
    """
    model, training, data = job.model, job.training, job.data
    if training.prefix_cache == "on" and (model.trainable == "all" or model.drop_rate > 0):
        dropout = f"dropout ({model.drop_rate}) changes what the frozen blocks compute at every step"
        reason = "every block trains" if model.trainable == "all" else dropout
        raise UserError(f"--prefix_cache on: cannot be made: {reason}.")
    if model.pad_to is not None and data.max_length is not None:
        raise UserError("--pad_to: expected no --max_length, which says how long rows are. Leave out one of them.")
    if model.ignore_index != ModelArguments.ignore_index and data.balance in ("class_weights", "focal"):
        raise UserError(
            f"--ignore_index: expected the plain loss, found --balance {data.balance}. Leave out one of them."
        )
    check_adapters(job)


def check_adapters(job: Job) -> None:
    """Refuse what cannot be together with `--trainable lora`, before anything is read.

    Raises:
        UserError: If something was asked for.
    """
    if job.model.lora is None:
        return
    if job.training.shards_weights:
        raise UserError(
            "--trainable lora: expected whole weights on each process, found FSDP or DeepSpeed. Use torchrun or "
            "another launch configuration; the base is frozen, so that it needs no optimizer state."
        )
    in_first = any(
        not name.startswith("trf_blocks.") or name.startswith("trf_blocks.0.") for name in job.model.lora.targets
    )
    if job.training.prefix_cache == "on" and in_first:
        raise UserError("--prefix_cache on: cannot be made: adapters train in every block. Leave it out.")


def check_sources(data: DataArguments) -> None:
    """Check that the named files and folders are there, before weights are downloaded.

    Raises:
        UserError: If they are not.
    """
    for name in ("data_file", "train_file", "validation_file", "test_file"):
        for path in getattr(data, name) or ():
            if path == "-" and processes.world_size() > 1:
                raise UserError(f"--{name} -: expected one process, found several. Save the messages to a file first.")
            try:
                expand("-" if is_on_hub(path) else path)
            except UserError as error:
                raise UserError(f"--{name} {error}") from None
    for name, folder in (("data_dir", data.data_dir), ("bpe_dir", data.bpe_dir)):
        if folder is not None and not Path(folder).exists():
            raise UserError(f"--{name} {folder}: no such folder.")


def changed_options(job: Job) -> list[str]:
    """Return the options that are not those of the finished run in place."""
    file = job.place / ARGUMENTS_FILE
    stored = read_json(file) if file.is_file() else {}
    given: dict[str, Any] = json.loads(json.dumps(job.options))
    names = sorted({*stored, *given} - PLACES)
    return [f"--{name}" for name in names if _listed(stored.get(name)) != _listed(given.get(name))]


def _listed(value: Any) -> Any:
    """Return a single text as a list: `data_file` was one name before it could be several."""
    return [value] if isinstance(value, str) else value


def find_start(job: Job) -> Path | None:
    """Return the checkpoint to resume from, if any, and check that the run may be written.

    Raises:
        UserError: If there is no such checkpoint, or the folder is taken.
    """
    checkpoint = None
    if job.training.resume_from_checkpoint is not None:
        checkpoint = find_checkpoint(job.training.resume_from_checkpoint, partial_folder(job.place))
        job.training.resume_from_checkpoint = str(checkpoint)
    if processes.rank() == 0:
        check_writable(job.place, job.training.overwrite_output_dir, keep=continues(job, checkpoint))
    return checkpoint


def continues(job: Job, checkpoint: Path | None) -> bool:
    """Tell whether the unfinished run beside the place goes on."""
    return checkpoint is not None and checkpoint.parent.resolve() == partial_folder(job.place).resolve()


def check_room(job: Job, model: SpamGPTForSequenceClassification, messages: int) -> None:
    """Refuse a run that would not fit on the disk beside what is there. What an unfinished run holds is reused."""
    lora = job.model.lora
    if lora is None:
        freeze(model, job.model.trainable)
    adapters = None if lora is None else count_adapters(model, lora)
    needed = bytes_needed(model, job.training, messages, adapters)
    require_room(job.place, needed - folder_size(partial_folder(job.place)))


def prepare_folder(job: Job, folder: Path, checkpoint: Path | None) -> None:
    """Point the Trainer to the staged folder, clear it of what a killed run left, and write the options there."""
    job.training.output_dir = str(folder)
    if processes.rank() > 0:
        return
    remove_unsealed(folder)
    if checkpoint is not None and continues(job, checkpoint):
        set_aside_later(checkpoint)
    given = {name: value for name, value in job.options.items() if name != "resume_from_checkpoint"}
    write_atomically(folder / ARGUMENTS_FILE, f"{json.dumps(given, indent=2)}\n".encode())
