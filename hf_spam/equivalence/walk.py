"""The chapter aloud: what `hf-spam native --explain` prints between the steps of the chapter's program.

Each function prints one step under the labels that it has in the book, from the objects that the program itself uses.
None of them draws a random number that the program would miss.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import tiktoken
import torch
from torch import Tensor

from ..errors import one_line, shorten
from ..model.gpt import GPTModel
from . import native_loop
from .chapter import PLACES, heading

SENTENCE = "Do you have time"
_WIDTH = 72  # characters of a message
_SHOWN = 5  # rows of the frame
_ENDS = (6, 2)  # ids at the beginning and at the end of a row
LABELS = ("ham", "spam")


def say(*labels: str) -> None:
    """Print the heading of a step."""
    print(heading(*labels))


def show_messages(frame: pd.DataFrame) -> None:
    """Print the head of the messages and how many there are of each label."""
    say("Listing 6.1", "Figure 6.5")
    print(f"{len(frame):,} rows of a label and a text:")
    for number, row in enumerate(frame.head(_SHOWN).itertuples(index=False)):
        print(f"{number}  {row.Label:4}  {_short(str(row.Text))}")
    print(f"of each label: {_counts(frame['Label'])}")


def show_splits(frame: pd.DataFrame, splits: Mapping[str, pd.DataFrame], seed: int) -> None:
    """Print the counts of the balanced messages and of the splits."""
    say("Listing 6.2")
    balanced = native_loop.balance_messages(frame, seed)
    names = balanced["Label"].map(dict(enumerate(LABELS)))
    print(f"ham drawn at random until there is as much as spam: {_counts(names)}")
    print("as class ids: ham 0 · spam 1")
    say("Listing 6.3")
    print("shuffled and cut: " + " · ".join(f"{name} {len(rows):,}" for name, rows in splits.items()))


def show_batches(
    splits: Mapping[str, pd.DataFrame], loaders: Mapping[str, native_loop.Batches], encoding: tiktoken.Encoding
) -> None:
    """Print how texts become rows of ids, and rows become batches."""
    ids, label = loaders["train"].dataset[0]
    real = min(len(ids), len(encoding.encode(splits["train"]["Text"].iloc[0], disallowed_special=())))
    say("Figure 6.6")
    print(f"what pads: <|endoftext|> is {encoding.encode('<|endoftext|>', allowed_special='all')}")
    print(f"the first training message: {_short(splits['train']['Text'].iloc[0])}")
    print(f"its ids: {real} of the text, then {len(ids) - real} that pad: {_ids(ids)}; class {label}")
    say("Listing 6.4")
    widths = {name: loader.dataset[0][0].shape[0] for name, loader in loaders.items()}
    print("tokens in each row: " + " · ".join(f"{name} {width}" for name, width in widths.items()))
    say("Listing 6.5", "Figure 6.7")
    with torch.random.fork_rng(devices=[]):
        rows, labels = next(iter(loaders["train"]))
    print("batches: " + " · ".join(f"{name} {len(loader)}" for name, loader in loaders.items()))
    print(f"one of them: ids {list(rows.shape)}, classes {list(labels.shape)}")
    for row, label in zip(rows, labels, strict=True):
        print(f"  {_ids(row)}  → {label} {LABELS[label]}")


def show_model(model: GPTModel, pretrained: bool) -> None:
    """Print the language model that the classifier starts from."""
    if not pretrained:
        print("random weights: what they would write means nothing, so nothing is generated")
    say("Figure 6.9")
    print(f"the language model, whose head gives a logit for each of {model.out_head.out_features:,} tokens:")
    print(model)


def show_head(model: GPTModel) -> None:
    """Print the classifier, and what of it trains."""
    say("Listing 6.7")
    print(f"the new head gives a logit for each of {model.out_head.out_features} classes:")
    print(model)
    say("Figure 6.10")
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        words = name.split(".")
        part = ".".join(words[: 2 if words[0] == "trf_blocks" else 1])
        counts[part] = counts.get(part, 0) + parameter.numel() * parameter.requires_grad
    for part, count in counts.items():
        print(f"  {part:14} {f'{count:,} train' if count else 'frozen'}")
    total = sum(parameter.numel() for parameter in model.parameters())
    print(f"{sum(counts.values()):,} of {total:,} parameters train")


@torch.no_grad()
def show_positions(model: GPTModel, encoding: tiktoken.Encoding) -> None:
    """Print the logits of a sentence at every position, the attention that leads to them, and the label."""
    model.eval()
    ids = encoding.encode(SENTENCE)
    weights: list[Tensor] = []
    attention: Any = model.trf_blocks[-1].att
    handle = attention.softmax.register_forward_hook(lambda *found: weights.append(found[2]))
    logits = model(torch.tensor([ids], device=model.tok_emb.weight.device))[0].cpu()  # [T, num_labels]
    handle.remove()
    tokens = [encoding.decode([id_]) for id_ in ids]
    say("Figure 6.11")
    print(f"{SENTENCE!r} → {ids} → logits {list(logits.shape)}:")
    for number, (token, row) in enumerate(zip(tokens, logits, strict=True)):
        read = "  ← read" if number == len(ids) - 1 else ""
        print(f"  {token!r:8} {row[0]:8.4f} {row[1]:8.4f}{read}")
    say("Figure 6.12")
    print("attention in the last block, first head: a position sees itself and what is before it")
    for token, row in zip(tokens, weights[0][0, 0].cpu(), strict=True):
        print(f"  {token!r:8} " + " ".join(f"{weight:.2f}" for weight in row))
    say("Figure 6.13", "Figure 6.14")
    scores = logits[-1].softmax(dim=-1)
    shares = " · ".join(f"{name} {score:.4f}" for name, score in zip(LABELS, scores, strict=True))
    print(f"softmax of the logits that are read: {shares}")
    label = int(logits[-1].argmax())
    print(f"argmax: {label}, which is {LABELS[label]} (the head is new: by chance)")


def show_plots(files: Sequence[Path]) -> None:
    """Print which files show the losses and the accuracies."""
    say("Listing 6.11", "Figure 6.16", "Figure 6.17")
    print("drawn: " + ", ".join(file.name for file in files))


def show_saved(model: GPTModel, path: Path, encoding: tiktoken.Encoding, texts: Sequence[str], length: int) -> None:
    """Read the saved classifier into a new model, compare the two, and print what was found."""
    again = GPTModel(model.config, num_labels=model.out_head.out_features)
    native_loop.load_state(again, path)
    pairs = list(zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    equal = sum(torch.equal(one.cpu(), other) for one, other in pairs)
    print("\nsaving and loading again")
    print(f"{path.name}, read into a new model: {equal} of {len(pairs)} tensors are equal to the last bit")
    labels = [native_loop.classify(text, again, encoding, length) for text in texts]
    print(f"it classifies the two texts as {' and '.join(labels)}")


def show_exercises() -> None:
    """Print the command of each exercise."""
    print()
    for place in PLACES:
        if place.label.startswith("Exercise"):
            print(f"{place.label}: {place.subject}: {place.command}")


def _counts(labels: "pd.Series[str]") -> str:
    return " · ".join(f"{name} {int((labels == name).sum()):,}" for name in LABELS)


def _short(text: str) -> str:
    return shorten(one_line(text), _WIDTH)


def _ids(row: Tensor) -> str:
    start, end = _ENDS
    ids = [str(id_) for id_ in row.tolist()]
    return f"[{', '.join(ids if len(ids) <= start + end else [*ids[:start], '…', *ids[-end:]])}]"
