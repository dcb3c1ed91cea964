"""`SpamTrainer`: the Trainer, held to the chapter's loop and to what a run must survive."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, Sampler
from transformers import EarlyStoppingCallback, Trainer
from transformers.trainer_utils import EvalLoopOutput, IntervalStrategy, rotate_checkpoints

from ..system.files import is_disk_full
from ..system.processes import broadcast, wait_for_all
from .arguments import SpamTrainingArguments
from .checkpoints import discard_staging, seal, staging_folder

_EPOCH_RANDOM_STATE = "epoch_random_state_{rank}.pth"


class UnseededSampler(Sampler[int]):
    """The chapter's order: each pass draws its seed from torch's global generator, as torch's own sampler does.

    Of several processes the main one draws; accelerate would give torch's sampler a generator of its own.

    Args:
        messages: How many there are.
        drawn: How many of them a pass visits.
    """

    def __init__(self, messages: int, drawn: int) -> None:
        self.messages = messages
        self.drawn = drawn

    def __iter__(self) -> Iterator[int]:
        seed = broadcast(int(torch.empty((), dtype=torch.int64).random_().item()))
        generator = torch.Generator().manual_seed(seed)
        yield from torch.randperm(self.messages, generator=generator).tolist()[: self.drawn]

    def __len__(self) -> int:
        return self.drawn


def by_length(rows: Dataset) -> list[int]:
    """The order in which `SpamTrainer` evaluates the rows of a split: the longest texts first."""
    lengths = list(map(len, rows["input_ids"]))
    return sorted(range(len(lengths)), key=lambda row: -lengths[row])


class SpamTrainer(Trainer):
    """The Trainer with AdamW's decay on every parameter, exact evaluation, and checkpoints that are complete.

    Batches: an epoch ends with the last whole `messages_per_step`, whoever shares them.
    Evaluation: every sample once, whatever the number of processes; the random stream of training is not touched.
    Checkpoints: see `checkpoints`; resuming continues bit for bit, with the chapter's unseeded order, too.
    """

    args: SpamTrainingArguments

    def __init__(self, *args: Any, extra_files: list[Callable[[Path], None]], **kwargs: Any) -> None:
        """`extra_files` write what else belongs into a checkpoint's folder."""
        super().__init__(*args, **kwargs)
        self.extra_files = extra_files
        self._staging: Path | None = None
        self._epoch_random_state = torch.get_rng_state()
        self._order: list[int] = []  # of the rows that are evaluated

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """All of them; the Trainer's own groups would spare biases and some norms."""
        return [name for name, _ in model.named_parameters()]

    # --- steps -------------------------------------------------------------------------------------------------------

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The Trainer's, which reads and writes every gradient; only where somebody clips or logs it."""
        if grad_norm is None and self.args.logging_strategy == IntervalStrategy.NO:
            return None
        return super()._get_grad_norm(model, grad_norm)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: the Trainer's estimate walks through all parameters, and takes frozen ones for computed."""
        return 0

    # --- batches -----------------------------------------------------------------------------------------------------

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int] | None:
        """The Trainer's, without the messages that would make a last, smaller step."""
        sampler = super()._get_train_sampler(train_dataset)
        if type(sampler) is not RandomSampler:
            return sampler
        messages = len(sampler.data_source)
        if self.args.dataloader_drop_last:
            messages -= messages % self.args.messages_per_step
        config: Any = self.args.accelerator_config
        if config.use_seedable_sampler:
            return RandomSampler(sampler.data_source, num_samples=messages)
        return UnseededSampler(len(sampler.data_source), messages)

    def get_eval_dataloader(self, eval_dataset: str | Dataset | None = None) -> DataLoader[Any]:
        """Every sample (`dataloader_drop_last` is for training), in batches of similar length."""
        return self._whole(super().get_eval_dataloader, self.eval_dataset if eval_dataset is None else eval_dataset)

    def get_test_dataloader(self, test_dataset: Dataset) -> DataLoader[Any]:
        """Every sample (`dataloader_drop_last` is for training), in batches of similar length."""
        return self._whole(super().get_test_dataloader, test_dataset)

    def _whole(self, get_dataloader: Any, dataset: Any) -> DataLoader[Any]:
        drop_last = self.args.dataloader_drop_last
        self.args.dataloader_drop_last = False
        self._order = by_length(dataset)
        try:
            loader: DataLoader[Any] = get_dataloader(dataset.select(self._order))
            return loader
        finally:
            self.args.dataloader_drop_last = drop_last

    # --- evaluation --------------------------------------------------------------------------------------------------

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Evaluate without touching the random stream that training draws from, each sample counted once.

        The Trainer's own loss counts some samples of the last batches twice where processes share them. What comes
        back stands in the order of the dataset.
        """
        # One autocast around all batches casts the weights once.
        with torch.random.fork_rng(devices=[]), self.accelerator.autocast():
            output = super().evaluation_loop(*args, **kwargs)
        (name,) = [name for name in output.metrics or {} if name.endswith("_loss")]
        back = torch.tensor(self._order).argsort()
        logits, labels = torch.as_tensor(output.predictions)[back], torch.as_tensor(output.label_ids)[back]
        output.metrics[name] = nn.functional.cross_entropy(logits.double(), labels).item()  # type: ignore[index]
        return output._replace(predictions=logits.numpy(), label_ids=labels.numpy())

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def _get_output_dir(self, trial: Any) -> str:
        return super()._get_output_dir(trial) if self._staging is None else str(self._staging)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint under another name, seal it, rename it; then drop what `save_total_limit` does not keep.

        Raises:
            OSError: ENOSPC if the disk is full, whatever torch made of it; what was there before stays.
        """
        run_folder, step = Path(super()._get_output_dir(trial)), self.state.global_step
        final = run_folder / f"checkpoint-{step}"
        self._staging = staging_folder(run_folder, step)
        written = self._staging / final.name
        try:
            super()._save_checkpoint(model, trial)
            torch.save(self._epoch_random_state, written / _EPOCH_RANDOM_STATE.format(rank=self.args.process_index))
            wait_for_all()
            if self.state.best_global_step == step:
                self.state.best_model_checkpoint = str(final)
            if self.args.should_save:
                self.state.save_to_json(str(written / "trainer_state.json"))
                for write in self.extra_files:
                    write(written)
                seal(written)
                shutil.rmtree(final, ignore_errors=True)
                written.replace(final)
                self._staging.rmdir()
                rotate_checkpoints(str(run_folder), self.args.save_total_limit, self.state.best_model_checkpoint)
            wait_for_all()
        except Exception as error:
            full = is_disk_full(error, run_folder)
            discard_staging(run_folder)
            if full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(final)) from error
            raise
        finally:
            self._staging = None

    # --- resuming ----------------------------------------------------------------------------------------------------

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """One epoch; a resumed one starts from the random state that its order of messages was drawn from."""
        checkpoint = kwargs["resume_from_checkpoint"]
        resumed = checkpoint is not None and kwargs["epoch"] == kwargs["epochs_trained"]
        if resumed and self._is_finished():
            self.control.should_training_stop = True
            return
        if resumed and kwargs["steps_trained_in_current_epoch"] > 0:
            file = Path(checkpoint, _EPOCH_RANDOM_STATE.format(rank=self.args.process_index))
            if file.is_file():
                torch.set_rng_state(torch.load(file, weights_only=True))
        elif resumed:
            self._load_rng_state(checkpoint)
        self._epoch_random_state = torch.get_rng_state()
        super()._run_epoch(*args, **kwargs)

    def _is_finished(self) -> bool:
        """Whether the checkpoint that training resumes from was its last."""
        patience = [
            callback.early_stopping_patience_counter >= callback.early_stopping_patience
            for callback in self.callback_handler.callbacks
            if isinstance(callback, EarlyStoppingCallback)
        ]
        return self.state.global_step >= self.state.max_steps or any(patience)
