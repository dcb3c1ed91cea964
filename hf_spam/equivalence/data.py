"""Compare the input of the Trainer route with the input of the native loop: levels 1 and 2."""

import tempfile

import torch
from torch import Tensor

from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..training.fine_tuning import build_trainer
from . import native_loop
from .comparison import Comparison, Value, compare
from .starting_point import BATCH_SIZE, EPOCHS, StartingPoint, book_arguments, silent


def check_rows(subject: StartingPoint) -> list[Comparison]:
    """Compare the label and text of every row of the `DatasetDict` with those from pandas alone."""
    expected: dict[str, Value] = {
        f"{name}, row {number}": f"{row.Label} {row.Text}"
        for name, frame in subject.frames.items()
        for number, row in enumerate(frame.itertuples(index=False))
    }
    found: dict[str, Value] = {
        f"{name}, row {number}": f"{row['label']} {row['text']}"
        for name, rows in subject.splits.items()
        for number, row in enumerate(rows)
    }
    return [compare(1, "label and text of each row", expected, found)]


def check_batches(subject: StartingPoint) -> list[Comparison]:
    """Every padded row of every loader and epoch: the Trainer's, as they reach the GPT, against the native ones."""
    expected: dict[str, dict[str, Value]] = {"ids": {}, "labels": {}}
    native_loaders = native_loop.build_loaders(subject.frames, subject.encoding, batch_size=BATCH_SIZE)
    torch.manual_seed(subject.seed)
    for epoch in range(EPOCHS):
        for name, native_loader in native_loaders.items():
            _note_rows(expected, f"{name}, epoch {epoch + 1}", list(native_loader))

    found: dict[str, dict[str, Value]] = {"ids": {}, "labels": {}}
    config = subject.configure(emb_dim=2, n_heads=1, n_layers=1)  # what reaches the GPT does not depend on its size
    model = SpamGPTForSequenceClassification(config)
    seen: list[Tensor] = []
    model.model.register_forward_pre_hook(lambda gpt, inputs: seen.append(inputs[0]))
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        arguments = book_arguments(subject, folder)
        trainer, _ = build_trainer(model, subject.tokenizer, subject.tokenized, arguments, log=silent)
        loaders = {"train": trainer.get_train_dataloader()}
        loaders |= {name: trainer.get_test_dataloader(subject.tokenized[name]) for name in ("validation", "test")}
        torch.manual_seed(subject.seed)
        for epoch in range(EPOCHS):
            for name, loader in loaders.items():
                labels = [batch["labels"] for batch in loader if model(**batch)]
                _note_rows(found, f"{name}, epoch {epoch + 1}", list(zip(seen, labels, strict=True)))
                seen.clear()
    return [compare(2, f"{what} of each batch, {EPOCHS} epochs", expected[what], found[what]) for what in expected]


def _note_rows(rows: dict[str, dict[str, Value]], where: str, batches: list[tuple[Tensor, Tensor]]) -> None:
    """Note each row's ids and label by place."""
    # What is missing, rows or all of them, is for `compare` to tell.
    for what, tensors in zip(rows, zip(*batches, strict=True), strict=False):
        every = torch.cat(tensors)
        for place, row in enumerate(every):
            rows[what][f"{where}, batch {place // BATCH_SIZE}, row {place % BATCH_SIZE}"] = row
