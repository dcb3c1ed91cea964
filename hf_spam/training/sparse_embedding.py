"""Training the token embeddings that occur in the messages, without the 45,000 that do not.

A row that no text uses has no gradient, and all that AdamW does to it is decay. So the optimizer gets the rows in use,
and the others are multiplied with all their decays at once when somebody asks for them: a tenth of the work of a small
model's step, with the same result.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from datasets import DatasetDict
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..model.gpt import GPTModel
from .checkpoints import checkpoint_folder

_FILE = "used_rows.json"


class UsedRows(nn.Module):
    """Stands in for an embedding whose ids are known beforehand. Its state dict is the whole embedding's.

    Args:
        embedding: The whole one. *Shape of its weight:* `[V, C]`.
        ids: Those in use.
    """

    positions: Tensor  # [V]: the row of each id in `weight`; the number of rows, which is none, for the others

    def __init__(self, embedding: nn.Embedding, ids: Iterable[int]) -> None:
        super().__init__()
        self.ids = torch.tensor(sorted(ids))
        self.others = embedding.weight.detach()
        self.weight = nn.Parameter(self.others[self.ids])  # [len(ids), C]
        positions = torch.full((len(self.others),), len(self.ids))
        positions[self.ids] = torch.arange(len(self.ids))
        self.register_buffer("positions", positions, persistent=False)
        self.decay = 1.0

    def forward(self, in_idx: Tensor) -> Tensor:
        """Ids `[B, T]` → rows `[B, T, C]`."""
        return F.embedding(self.positions[in_idx], self.weight)

    def whole(self) -> Tensor:
        """The embedding's weight as it would be, `[V, C]`."""
        whole = self.others.to(self.weight.device) * self.decay
        whole[self.ids] = self.weight.detach()
        return whole

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}weight"] = self.whole()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any) -> None:
        whole = state_dict[f"{prefix}weight"]
        self.others, self.decay = whole.detach().clone(), 1.0
        with torch.no_grad():
            self.weight.copy_(whole[self.ids])


class Decay(TrainerCallback):
    """Keeps account of AdamW's decay of the rows that are not in use, also over an interruption.

    A run that goes on starts from the rows and the decay that the first one had, not from their product, whose
    rounding would be another.
    """

    def __init__(self, rows: UsedRows) -> None:
        self.rows = rows
        self._others = rows.others
        self._restored: float | None = None

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write the decay so far into the checkpoint."""
        if args.should_save:
            text = json.dumps({"decay": self.rows.decay})
            (checkpoint_folder(args, state) / _FILE).write_text(f"{text}\n", encoding="utf-8")

    def restore(self, checkpoint: Path) -> None:
        """Continue from the decay in a checkpoint, if it has one, as soon as the checkpoint's weights are loaded."""
        if (checkpoint / _FILE).is_file():
            self._restored = json.loads((checkpoint / _FILE).read_text(encoding="utf-8"))["decay"]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Put what was restored in the place of what was loaded."""
        if self._restored is not None:
            self.rows.others, self.rows.decay = self._others, self._restored

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count the decay of this step, unless fp16 has skipped it."""
        optimizer = kwargs["optimizer"]
        if not optimizer.step_was_skipped:
            group = optimizer.param_groups[0]
            self.rows.decay *= 1 - group["lr"] * group["weight_decay"]


@contextmanager
def used_rows(gpt: GPTModel, tokenized: DatasetDict, pad_token_id: int) -> Iterator[Decay]:
    """Let a model have only the rows of its token embedding that the texts use, until the block ends.

    Args:
        gpt: Changed in place, and back.
        tokenized: All texts that the model will see meanwhile.
        pad_token_id: What they are padded with.

    Yields:
        What the Trainer has to call back.
    """
    whole = gpt.tok_emb
    ids = {pad_token_id}.union(*(ids for split in tokenized.values() for ids in split["input_ids"]))
    rows = UsedRows(whole, ids)
    gpt.tok_emb = rows  # type: ignore[assignment]
    try:
        yield Decay(rows)
    finally:
        with torch.no_grad():
            whole.to(rows.weight.device).weight.copy_(rows.whole())
        gpt.tok_emb = whole
