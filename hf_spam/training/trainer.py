"""`SpamTrainer`: the Trainer with the chapter's weight decay, whole steps and exact evaluation.

Two private methods of the Trainer are overridden, because no public hook reaches what they decide. A test names them
and fails when a release of transformers moves one.

- `_get_train_sampler`: an epoch ends with the last whole optimizer step, however many processes and accumulated
  batches share it. Replacing `get_train_dataloader` instead would repeat the Trainer's workers, seeds and prefetching.
- `_get_grad_norm`: the Trainer reads every gradient after each step for a norm that only its log shows. Without a log
  it is left out, which saves a tenth of a step's time when GPT-2 small trains its last block (two CPU cores).
"""

import functools
import math
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DynamoBackend
from datasets import Dataset
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, Sampler
from transformers import Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.trainer_utils import EvalLoopOutput, IntervalStrategy

from ..data.labels import task_of_config
from ..errors import UserError
from ..evaluation.metrics import mean_loss
from ..tokens.epoch_order import SimilarLengthSampler, UnseededSampler
from ..trainable.step_graphs import StepGraphs
from .arguments import SpamTrainingArguments
from .checkpoints import STABLE


class NotFiniteLossError(UserError):
    """A loss is infinite or no number."""


class SpamTrainer(Trainer):
    """The Trainer, held to the chapter's loop.

    Weight decay applies to every parameter. An epoch ends with the last whole `messages_per_step`. Evaluation counts
    every sample once, whatever the number of processes, and leaves the random stream of training alone.

    Attributes:
        step_graphs: Replay forward and backward pass as CUDA graphs; see `fine_tuning.use_prefix_cache`.
    """

    args: SpamTrainingArguments
    step_graphs: StepGraphs | None = None

    # --- steps -------------------------------------------------------------------------------------------------------

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Return all parameters. The Trainer's own groups would spare biases and some norms."""
        return [name for name, _ in model.named_parameters()]

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        if grad_norm is None and self.args.logging_strategy == IntervalStrategy.NO:
            return None
        return super()._get_grad_norm(model, grad_norm)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Return the loss of a batch.

        Raises:
            NotFiniteLossError: If it is not finite: every later step would be lost.
        """
        step = functools.partial(super().training_step, model)
        if self.step_graphs is None:
            loss = step(inputs, num_items_in_batch)
        else:
            loss = self.step_graphs(step, inputs, num_items_in_batch)
        if not math.isfinite(loss.item()):
            raise NotFiniteLossError(
                f"step {self.state.global_step + 1}: expected a finite loss, found {loss.item()}. Training has "
                f"stopped. {STABLE}"
            )
        return loss

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Count nothing: the Trainer's estimate visits all parameters at each step, and counts frozen ones."""
        return 0

    # --- batches -----------------------------------------------------------------------------------------------------

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int] | None:
        sampler = super()._get_train_sampler(train_dataset)
        by_length = type(sampler) is LengthGroupedSampler
        if type(sampler) is not RandomSampler and not by_length:  # the user chose another `train_sampling_strategy`
            return sampler
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        messages, batch = len(rows), self.args.messages_per_step
        if self.args.dataloader_drop_last:
            messages -= messages % batch
        if by_length:
            seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
            return SimilarLengthSampler(list(map(len, rows["input_ids"][:])), batch, messages, seed)
        config: Any = self.args.accelerator_config
        if config.use_seedable_sampler:
            return RandomSampler(rows, num_samples=messages)
        return UnseededSampler(len(rows), messages)

    def get_eval_dataloader(self, eval_dataset: str | Dataset | None = None) -> DataLoader[Any]:
        """Return batches of every row: `dataloader_drop_last` is for training."""
        return self._whole(self.eval_dataset if eval_dataset is None else eval_dataset)

    def get_test_dataloader(self, test_dataset: Dataset) -> DataLoader[Any]:
        """Return batches of every row: `dataloader_drop_last` is for training."""
        return self._whole(test_dataset)

    def _whole(self, rows: Any) -> DataLoader[Any]:
        loader: DataLoader[Any] = DataLoader(
            rows,
            batch_size=self.args.eval_batch_size,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)

    # --- evaluation --------------------------------------------------------------------------------------------------

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Evaluate every sample once, without drawing from the random stream of training.

        Where processes share the batches, the Trainer's own loss counts some samples of the last ones twice.
        """
        # One autocast around all batches casts the weights once.
        with torch.random.fork_rng(devices=[]), self.accelerator.autocast():
            output = super().evaluation_loop(*args, **kwargs)
        metrics = output.metrics or {}
        (loss,) = [name for name in metrics if name.endswith("_loss")]
        metrics[loss] = mean_loss(task_of_config(self.model.config), output.predictions, output.label_ids)  # type: ignore
        return output


def replays(arguments: SpamTrainingArguments, accelerator: Accelerator) -> bool:
    """Tell whether steps behind the prefix cache are replayed as CUDA graphs: on one GPU, where nothing reads a value.

    A gradient scaler (fp16), accumulated gradients, recomputed activations and compiled code keep their own way.
    """
    return (
        arguments.cuda_graphs
        and accelerator.device.type == "cuda"
        and accelerator.num_processes == 1
        and arguments.n_gpu == 1
        and arguments.gradient_accumulation_steps == 1
        and accelerator.mixed_precision in ("no", "bf16")
        and accelerator.state.dynamo_plugin.backend == DynamoBackend.NO
        and not (arguments.gradient_checkpointing or arguments.torch_empty_cache_steps)
    )
