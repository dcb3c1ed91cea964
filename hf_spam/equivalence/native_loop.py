"""The chapter's program in plain torch, to be read beside the book: the oracle that the Trainer route is held to.

From the messages on it goes its own way: pandas splits them, tiktoken encodes them, and no part of transformers'
training is used. The order of random draws is the chapter's too: one per pass over the shuffled training batches, the
interim evaluations' included.
"""

import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pandas as pd
import tiktoken
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from ..errors import UserError
from ..evaluation.history import History
from ..model.gpt import GPTModel
from .records import Step, digest, gradient_norm

PAD_TOKEN_ID = 50256
SPLITS = ("train", "validation", "test")
ZERO_SHOT = "Is this message spam, yes or no? Message: '{text}' Answer:"

Batches = DataLoader[tuple[Tensor, Tensor]]


# --- data ------------------------------------------------------------------------------------------------------------


def split_messages(
    messages: pd.DataFrame, train_fraction: float = 0.7, validation_fraction: float = 0.1, seed: int = 123
) -> dict[str, pd.DataFrame]:
    """As many ham as spam, shuffled and cut in three, with pandas alone.

    Args:
        messages: Columns `Label` (ham or spam) and `Text`, more ham than spam.
        train_fraction: Share of the rows that train.
        validation_fraction: Share of the rows that validate; the rest tests.
        seed: The `random_state` of the undersampling and of the shuffle.

    Returns:
        The splits, `Label` 0 for ham and 1 for spam.

    Raises:
        UserError: If there is less ham than spam, which the chapter does not provide for.
    """
    spam = messages[messages["Label"] == "spam"]
    ham = messages[messages["Label"] == "ham"]
    if len(ham) < len(spam):
        raise UserError(f"the native loop expects at least as many ham as spam, found {len(ham)} and {len(spam)}.")
    balanced = pd.concat([ham.sample(len(spam), random_state=seed), spam])
    balanced["Label"] = balanced["Label"].map({"ham": 0, "spam": 1})
    shuffled = balanced.sample(frac=1, random_state=seed).reset_index(drop=True)
    train_end = int(len(shuffled) * train_fraction)
    validation_end = train_end + int(len(shuffled) * validation_fraction)
    cuts = (shuffled[:train_end], shuffled[train_end:validation_end], shuffled[validation_end:])
    return dict(zip(SPLITS, cuts, strict=True))


class SpamDataset(Dataset[tuple[Tensor, Tensor]]):
    """Messages as rows of token ids, all of one length: cut or padded on the right.

    Args:
        messages: Columns `Label` (0 or 1) and `Text`.
        encoding: tiktoken's.
        max_length: The length of every row, in tokens; by default the longest message's.
        pad_token_id: What rows are padded with.
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
    """Batches of each split: train shuffled, without a last smaller one; validation and test in order and whole.

    Rows are as long as `max_length`, by default the longest training message, in all three.
    """
    train = SpamDataset(splits["train"], encoding, max_length)
    loaders = {"train": DataLoader(train, batch_size, shuffle=True, drop_last=True)}
    for name in ("validation", "test"):
        loaders[name] = DataLoader(SpamDataset(splits[name], encoding, train.max_length), batch_size)
    return loaders


# --- loss and accuracy -----------------------------------------------------------------------------------------------


def batch_loss(model: GPTModel, ids: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of a batch, read at the last position of its rows: ids `[B, T]`, labels `[B]` → `[]`."""
    device = model.tok_emb.weight.device
    return F.cross_entropy(model(ids.to(device))[:, -1, :], labels.to(device))


@torch.no_grad()
def loader_loss(model: GPTModel, loader: Batches, num_batches: int | None = None) -> float:
    """Mean of the first `num_batches` batches' losses (all by default); NaN where there is no batch."""
    losses = [batch_loss(model, ids, labels).item() for ids, labels in islice(loader, num_batches)]
    return sum(losses) / len(losses) if losses else float("nan")


@torch.no_grad()
def loader_accuracy(model: GPTModel, loader: Batches, num_batches: int | None = None) -> float:
    """Share of the first `num_batches` batches' messages (all by default) that the model, in evaluation mode, gets."""
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
    """Put a fresh classification head in the place of the language model's, drawn right after seeding."""
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
    """Train, estimating as the chapter does: losses every `eval_freq` steps, accuracies after each epoch.

    Args:
        model: What requires a gradient is trained, in place.
        train_loader: Shuffled; every pass, an estimate's too, draws from torch's global generator.
        validation_loader: In order.
        optimizer: Over the model's parameters.
        num_epochs: Passes over the training batches.
        eval_freq: Steps between two estimates of the losses, the first after the first step; 0 for none.
        eval_iter: Batches of each estimate.
        max_steps: Stop after so many steps, whatever `num_epochs` says.
        log: Where the chapter's log lines go.

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
    """Call a text "spam" or "not spam": cut or padded to `max_length` tokens, read at the last position."""
    model.eval()
    length = min(max_length, model.config.context_length)
    ids = encoding.encode(text, disallowed_special=())[:length]
    ids += [PAD_TOKEN_ID] * (length - len(ids))
    logits = model(torch.tensor([ids], device=model.tok_emb.weight.device))[:, -1, :]  # [1, num_labels]
    return "spam" if logits.argmax(dim=-1).item() == 1 else "not spam"


@torch.no_grad()
def generate(model: GPTModel, ids: Sequence[int], max_new_tokens: int) -> list[int]:
    """Continue a prompt greedily with a language model, reading at most its context: prompt and continuation."""
    model.eval()
    text = list(ids)
    for _ in range(max_new_tokens):
        context = torch.tensor([text[-model.config.context_length :]], device=model.tok_emb.weight.device)
        text.append(int(model(context)[0, -1].argmax()))
    return text


def save_state(model: GPTModel, path: str | os.PathLike[str]) -> None:
    """Write the state dict to a `.pth` file, as the chapter does; complete or not at all."""
    temporary = Path(f"{path}.partial")
    try:
        torch.save(model.state_dict(), temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_state(model: GPTModel, path: str | os.PathLike[str]) -> None:
    """Read a state dict that `save_state` or the book's own code wrote (whose causal masks are left out).

    Raises:
        UserError: If the file cannot be read as tensors or they are not this model's; the message names them.
    """
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict({name: tensor for name, tensor in state.items() if not name.endswith(".att.mask")})
    except (OSError, pickle.UnpicklingError, RuntimeError, EOFError, AttributeError) as error:
        raise UserError(f"{path}: expected a state dict of this model: {' '.join(str(error).split())[:500]}") from None
