"""The chapter's program in plain torch, to be read beside the book: the oracle for the Trainer route.

It shares only the model with that route: pandas splits the messages, tiktoken encodes them, and nothing from
transformers' training is used. Random numbers are also drawn in the chapter's order: once per pass over the shuffled
training batches, including the passes of the interim evaluations.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pandas as pd
import tiktoken
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from ..checkpoint.tensors import unpickle_tensors
from ..conversion.to_book import AnyGPT, as_book
from ..errors import UserError
from ..evaluation.history import History
from ..model.gpt import GPTModel
from ..system.files import atomic_file
from .records import Step, digest, gradient_norm

PAD_TOKEN_ID = 50256
SPLITS = ("train", "validation", "test")
ZERO_SHOT = "Is the following text 'spam'? Answer with 'yes' or 'no': '{text}'"

Batches = DataLoader[tuple[Tensor, Tensor]]


# --- data ------------------------------------------------------------------------------------------------------------


def balance_messages(messages: pd.DataFrame, seed: int = 123) -> pd.DataFrame:
    """Return as much ham, drawn at random, as there is spam, then the spam.

    Args:
        messages: Columns `Label` (ham or spam) and `Text`, at least as many ham as spam.
        seed: The `random_state` of the drawing.

    Returns:
        The messages, with `Label` 0 for ham and 1 for spam.

    Raises:
        UserError: If there is less ham than spam, a case that the chapter does not handle.
    """
    spam = messages[messages["Label"] == "spam"]
    ham = messages[messages["Label"] == "ham"]
    if len(ham) < len(spam):
        raise UserError(f"the native loop expects at least as many ham as spam, found {len(ham)} and {len(spam)}.")
    balanced = pd.concat([ham.sample(len(spam), random_state=seed), spam])
    balanced["Label"] = balanced["Label"].map({"ham": 0, "spam": 1})
    return balanced


def split_messages(
    messages: pd.DataFrame, train_fraction: float = 0.7, validation_fraction: float = 0.1, seed: int = 123
) -> dict[str, pd.DataFrame]:
    """Balance ham and spam, shuffle them and split them in three, with pandas alone.

    Args:
        messages: See `balance_messages`.
        train_fraction: Share of the rows for training.
        validation_fraction: Share of the rows for validation; the rest is for testing.
        seed: The `random_state` of the undersampling and the shuffle.

    Returns:
        The splits, with `Label` 0 for ham and 1 for spam.

    Raises:
        UserError: See `balance_messages`.
    """
    balanced = balance_messages(messages, seed)
    shuffled = balanced.sample(frac=1, random_state=seed).reset_index(drop=True)
    train_end = int(len(shuffled) * train_fraction)
    validation_end = train_end + int(len(shuffled) * validation_fraction)
    cuts = (shuffled[:train_end], shuffled[train_end:validation_end], shuffled[validation_end:])
    return dict(zip(SPLITS, cuts, strict=True))


class SpamDataset(Dataset[tuple[Tensor, Tensor]]):
    """Messages as rows of token ids of equal length, cut or padded on the right.

    Args:
        messages: Columns `Label` (0 or 1) and `Text`.
        encoding: The encoding by tiktoken.
        max_length: Length of every row in tokens; by default that of the longest message.
        pad_token_id: The id that pads the rows.
    """

    def __init__(
        self,
        messages: pd.DataFrame,
        encoding: tiktoken.Encoding,
        max_length: int | None = None,
        pad_token_id: int = PAD_TOKEN_ID,
    ) -> None:
        rows = [encoding.encode(text, disallowed_special=()) for text in messages["Text"]]
        self.max_length = max_length or max(map(len, rows))
        cut = [row[: self.max_length] for row in rows]
        padded = [row + [pad_token_id] * (self.max_length - len(row)) for row in cut]
        self.ids = torch.tensor(padded)  # [N, max_length]
        self.labels = torch.tensor(messages["Label"].tolist())  # [N]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.ids[index], self.labels[index]

    def __len__(self) -> int:
        return len(self.labels)


def build_loaders(
    splits: Mapping[str, pd.DataFrame], encoding: tiktoken.Encoding, max_length: int | None = None, batch_size: int = 8
) -> dict[str, Batches]:
    """Return the loader of each split: train shuffled without its last smaller batch, the others in order and whole.

    The rows of all splits have `max_length` tokens, by default the length of the longest training message.
    """
    train = SpamDataset(splits["train"], encoding, max_length)
    loaders = {"train": DataLoader(train, batch_size, shuffle=True, drop_last=True)}
    for name in ("validation", "test"):
        loaders[name] = DataLoader(SpamDataset(splits[name], encoding, train.max_length), batch_size)
    return loaders


# --- loss and accuracy -----------------------------------------------------------------------------------------------


def batch_loss(model: GPTModel, ids: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy at the last position of the rows: ids `[B, T]`, labels `[B]` → `[]`."""
    device = model.tok_emb.weight.device
    return F.cross_entropy(model(ids.to(device))[:, -1, :], labels.to(device))


@torch.no_grad()
def loader_loss(model: GPTModel, loader: Batches, num_batches: int | None = None) -> float:
    """Return the mean loss of the first `num_batches` batches (default: all); NaN if there is none."""
    losses = [batch_loss(model, ids, labels).item() for ids, labels in islice(loader, num_batches)]
    return sum(losses) / len(losses) if losses else float("nan")


@torch.no_grad()
def loader_accuracy(model: GPTModel, loader: Batches, num_batches: int | None = None) -> float:
    """Return the accuracy over the first `num_batches` batches (default: all), with the model in evaluation mode."""
    model.eval()
    device = model.tok_emb.weight.device
    right, seen = 0, 0
    for ids, labels in islice(loader, num_batches):
        predicted = model(ids.to(device))[:, -1, :].argmax(dim=-1)
        right += int((predicted == labels.to(device)).sum())
        seen += len(labels)
    return right / seen if seen else float("nan")


# --- training --------------------------------------------------------------------------------------------------------


def replace_head(model: GPTModel, num_labels: int = 2, seed: int = 123) -> None:
    """Replace the language-model head by a new classification head, drawn right after seeding."""
    torch.manual_seed(seed)
    model.out_head = nn.Linear(model.config.emb_dim, num_labels)


def train(
    model: GPTModel,
    train_loader: Batches,
    validation_loader: Batches,
    optimizer: torch.optim.Optimizer,
    *,
    num_epochs: int = 5,
    eval_freq: int = 50,
    eval_iter: int = 5,
    max_steps: int | None = None,
    log: Callable[[str], None] = print,
) -> tuple[list[Step], History]:
    """Train, and estimate as the chapter does: losses every `eval_freq` steps, accuracies after each epoch.

    Args:
        model: Trained in place, as far as its parameters require a gradient.
        train_loader: Shuffled; every pass, also that of an estimate, draws from torch's global generator.
        validation_loader: In order.
        optimizer: Over the model's parameters.
        num_epochs: Passes over the training batches.
        eval_freq: Steps between two estimates of the losses, starting after the first step; 0 for none.
        eval_iter: Batches of each estimate.
        max_steps: Stop after this many steps, regardless of `num_epochs`.
        log: Receives the chapter's log lines.

    Returns:
        Every step, and the estimates.
    """
    steps: list[Step] = []
    history = History()
    for epoch in range(num_epochs if max_steps is None else -(-max_steps // len(train_loader))):
        model.train()
        for ids, labels in islice(train_loader, None if max_steps is None else max_steps - len(steps)):
            optimizer.zero_grad()
            loss = batch_loss(model, ids, labels)
            loss.backward()
            norm = gradient_norm(model.parameters())
            steps.append(Step(digest(ids), digest(labels), loss.item(), norm, optimizer.param_groups[0]["lr"]))
            optimizer.step()
            history.examples_seen += len(labels)

            step = len(steps) - 1  # counted from 0, evaluated after the update
            if eval_freq and step % eval_freq == 0:
                model.eval()
                train_loss = loader_loss(model, train_loader, eval_iter)
                validation_loss = loader_loss(model, validation_loader, eval_iter)
                model.train()
                history.steps.append(len(steps))
                history.train_losses.append(train_loss)
                history.validation_losses.append(validation_loss)
                log(f"Ep {epoch + 1} (Step {step:06d}): Train loss {train_loss:.3f}, Val loss {validation_loss:.3f}")
        train_accuracy = loader_accuracy(model, train_loader, eval_iter)
        validation_accuracy = loader_accuracy(model, validation_loader, eval_iter)
        history.train_accuracies.append(train_accuracy)
        history.validation_accuracies.append(validation_accuracy)
        log(f"Training accuracy: {train_accuracy:.2%} | Validation accuracy: {validation_accuracy:.2%}")
    return steps, history


# --- using the model -------------------------------------------------------------------------------------------------


@torch.no_grad()
def classify(text: str, model: GPTModel, encoding: tiktoken.Encoding, max_length: int) -> str:
    """Classify a text as "spam" or "not spam" by the last of `max_length` positions, to which it is cut or padded."""
    model.eval()
    length = min(max_length, model.config.context_length)
    ids = encoding.encode(text, disallowed_special=())[:length]
    ids += [PAD_TOKEN_ID] * (length - len(ids))
    logits = model(torch.tensor([ids], device=model.tok_emb.weight.device))[:, -1, :]  # [1, num_labels]
    return "spam" if logits.argmax(dim=-1).item() == 1 else "not spam"


@torch.no_grad()
def generate(model: GPTModel, ids: Sequence[int], max_new_tokens: int) -> list[int]:
    """Return a prompt with its greedy continuation by a language model, which reads at most its context."""
    model.eval()
    text = list(ids)
    for _ in range(max_new_tokens):
        context = torch.tensor([text[-model.config.context_length :]], device=model.tok_emb.weight.device)
        text.append(int(model(context)[0, -1].argmax()))
    return text


def save_state(model: AnyGPT, path: str | os.PathLike[str]) -> None:
    """Write the state dict to a `.pth` file, as the chapter does and under its names, but never a half-written one."""
    with atomic_file(Path(path)) as temporary:
        torch.save(as_book(model).state_dict(), temporary)


def load_state(model: AnyGPT, path: str | os.PathLike[str]) -> None:
    """Read a state dict written by `save_state` or by the book's own code, whose causal masks are ignored.

    Raises:
        UserError: If the file does not hold tensors or they do not fit this model; the message names them.
    """
    state = unpickle_tensors(Path(path))
    try:
        as_book(model).load_state_dict(
            {name: tensor for name, tensor in state.items() if not name.endswith(".att.mask")}
        )
    except RuntimeError as error:
        raise UserError(f"{path}: expected a state dict of this model: {' '.join(str(error).split())[:500]}") from None
