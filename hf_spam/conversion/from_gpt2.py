"""Copy a GPT-2 checkpoint into our models, with every key accounted for and every shape checked.

A checkpoint comes from the Hub (by size or by name), from a local folder that transformers wrote, from a run of ours,
or, with the extra `openai`, from a folder in OpenAI's TensorFlow format.
"""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from ..checkpoint.configuration import CONFIG, read_gpt2_sizes
from ..checkpoint.files import INDEX, SINGLE, find_file, find_weights, require_file
from ..checkpoint.foreign_tokenizer import read_foreign_tokenizer
from ..checkpoint.tensors import OLD_MASKS, State, load_tensors, unpickle_tensors
from ..errors import UserError
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.gpt import GPTModel
from ..network.hub_download import download_repository
from ..system.reading import read_json
from . import from_openai, from_own
from .finding import ALTERNATIVES, find_weights_folder

# `tiny` and `mini` are not published: `tiny` is for tests, and the quickstart trains `mini`, both from random weights.
SIZES: dict[str, dict[str, int]] = {
    "tiny": {"emb_dim": 16, "n_layers": 2, "n_heads": 2},
    "mini": {"emb_dim": 256, "n_layers": 2, "n_heads": 4},
    "small": {"emb_dim": 768, "n_layers": 12, "n_heads": 12},
    "medium": {"emb_dim": 1024, "n_layers": 24, "n_heads": 16},
    "large": {"emb_dim": 1280, "n_layers": 36, "n_heads": 20},
    "xl": {"emb_dim": 1600, "n_layers": 48, "n_heads": 25},
}
HUB_REPOSITORIES = {
    "small": "openai-community/gpt2",
    "medium": "openai-community/gpt2-medium",
    "large": "openai-community/gpt2-large",
    "xl": "openai-community/gpt2-xl",
}
# The heads of transformers' other GPT-2s, by what `architectures` says: the first words of their tensors' names.
_HEADS = {
    "['GPT2ForSequenceClassification']": "score.",
    "['GPT2ForTokenClassification']": "classifier.",
    "['GPT2ForQuestionAnswering']": "qa_outputs.",
    "['GPT2DoubleHeadsModel']": "multiple_choice_head.",
}
# For each tensor: a row (None: it has no rows), and the first values of that row in the published small checkpoint.
_SMALL_VALUES = {
    "wte.weight": (0, [-0.11010301, -0.03926672, 0.03310751, 0.13382645, -0.04847569]),
    "wpe.weight": (0, [-0.01882072, -0.19741860, 0.00402672, 0.01134686, 0.06382412]),
    "h.0.ln_1.weight": (None, [0.22322033, 0.18195866, 0.15343246]),
}


@dataclass(frozen=True)
class GPT2Checkpoint:
    """A GPT-2 checkpoint in memory.

    Attributes:
        sizes: The fields of `SpamGPTConfig` that the checkpoint determines.
        state: The tensors, named as in transformers' `GPT2Model` (`wte.weight`, `h.0.attn.c_attn.weight`, ...), or,
            of a run of ours, as in the book.
        source: The folder it was read from, for messages.
        repository: The one on the Hub that it comes from, `owner/name`.
        tokenizer: Its own, ready for messages, if it was asked for and is there.
        notes: What the user should know of it.
    """

    sizes: dict[str, Any]
    state: State
    source: str
    repository: str | None = None
    tokenizer: PreTrainedTokenizerFast | None = None
    notes: tuple[str, ...] = ()


def load_checkpoint(
    weights: str,
    size: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    *,
    with_tokenizer: bool = False,
) -> GPT2Checkpoint:
    """Read a GPT-2 checkpoint.

    Args:
        weights: `hub`, `openai`, a local folder in either format or with a run of ours, or a repository on the Hub;
            see `finding.find_weights_folder`.
        size: `small`, `medium`, `large` or `xl`: the checkpoint that `hub` and `openai` download (default: small). A
            folder or repository must hold a checkpoint of this size, if one is given.
        cache_dir: Where `openai` keeps its download; `hub` uses the Hugging Face cache.
        with_tokenizer: Read its own tokenizer, too, before the weights. `hub` and `openai` have GPT-2's.

    Raises:
        UserError: If the checkpoint cannot be read or downloaded, or is not a GPT-2 of that size.
    """
    published = weights in ("hub", "openai")
    if published:
        size = size or "small"
        if size not in HUB_REPOSITORIES:
            sizes = ", ".join(HUB_REPOSITORIES)
            raise UserError(f"expected a published size ({sizes}) for the weights {weights!r}, found {size!r}.")
    repository = None
    if weights == "hub":
        repository = HUB_REPOSITORIES[size or "small"]
        folder = _download_from_hub(repository)
    elif weights == "openai":
        folder = from_openai.download_checkpoint(size or "small", cache_dir)
    else:
        folder, repository = find_weights_folder(weights)
    if find_file(folder, from_openai.HPARAMS) is not None:
        checkpoint = GPT2Checkpoint(*from_openai.read(folder), source=str(folder))
    elif from_own.is_own(folder):
        checkpoint = GPT2Checkpoint(**from_own.read(folder))
    else:
        checkpoint = _read_gpt2(folder, repository or weights, with_tokenizer and not published)
    checkpoint = replace(checkpoint, repository=repository, tokenizer=checkpoint.tokenizer if with_tokenizer else None)
    if with_tokenizer and not published and checkpoint.tokenizer is None:
        checkpoint = replace(checkpoint, notes=(*checkpoint.notes, "no tokenizer there: GPT-2's"))
    with torch.device("meta"):  # before anything of these sizes is allocated
        _match(GPTModel(SpamGPTConfig(**checkpoint.sizes, pad_token_id=0)), checkpoint)
    for name, expected in SIZES.get(size or "", {}).items():
        if checkpoint.sizes[name] != expected:
            raise UserError(f"{folder}: expected {name} {expected} (size {size}), found {checkpoint.sizes[name]}.")
    if published and size == "small" and not is_published_small(checkpoint.state):
        raise UserError(f"{folder}: its first values are not those of the published GPT-2 small.")
    return checkpoint


def is_published_small(state: State) -> bool:
    """Tell whether the tensors of a checkpoint begin like those of OpenAI's GPT-2 small (124 M)."""
    for name, (row, values) in _SMALL_VALUES.items():
        found = (state[name] if row is None else state[name][row])[: len(values)].float()
        if found.shape != (len(values),) or not torch.allclose(found, torch.tensor(values), rtol=0, atol=1e-6):
            return False
    return True


def fill(model: GPTModel, checkpoint: GPT2Checkpoint) -> None:
    """Copy a checkpoint into a `GPTModel`: every tensor is used and every parameter is filled.

    The only exception is a classification head, which no checkpoint has and which stays as it is. A language-model
    head is filled with the token embedding (GPT-2 ties the two), unless the checkpoint has a head of its own.

    Raises:
        UserError: If a tensor is missing, left over or of the wrong shape; the message names it.
    """
    pairs = _match(model, checkpoint)
    with torch.no_grad():
        for parameter, tensor in pairs:
            parameter.copy_(tensor)


def _match(model: GPTModel, checkpoint: GPT2Checkpoint) -> list[tuple[Tensor, Tensor]]:
    """Return the parameters of a model, each with its tensor of the checkpoint; see `fill`."""
    found = to_book_names(checkpoint)
    head = found.pop("out_head.weight", found.get("tok_emb.weight"))
    expected = dict(model.named_parameters(remove_duplicate=False))
    if "out_head.bias" in expected:  # a classification head
        del expected["out_head.weight"], expected["out_head.bias"]
    elif head is not None:
        found["out_head.weight"] = head
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} has no place in the model" for name in found if name not in expected]
    problems += [
        f"{name} should be {list(expected[name].shape)} and is {list(tensor.shape)}"
        for name, tensor in found.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise UserError(f"{checkpoint.source}: does not fit the model: {'; '.join(problems[:5])}{more}.")
    return [(parameter, found[name]) for name, parameter in expected.items()]


# transformers' names of GPT-2's tensors, and the book's names of ours: read in both directions.
_OUTER_NAMES = {
    "wte.weight": "tok_emb.weight",
    "wpe.weight": "pos_emb.weight",
    "ln_f.weight": "final_norm.scale",
    "ln_f.bias": "final_norm.shift",
    "lm_head.weight": "out_head.weight",
}
_BLOCK_NAMES = {
    "ln_1.weight": "norm1.scale",
    "ln_1.bias": "norm1.shift",
    "attn.c_proj.weight": "att.out_proj.weight",
    "attn.c_proj.bias": "att.out_proj.bias",
    "ln_2.weight": "norm2.scale",
    "ln_2.bias": "norm2.shift",
    "mlp.c_fc.weight": "ff.layers.0.weight",
    "mlp.c_fc.bias": "ff.layers.0.bias",
    "mlp.c_proj.weight": "ff.layers.2.weight",
    "mlp.c_proj.bias": "ff.layers.2.bias",
}
_TRANSPOSED = {"attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"}  # Conv1D: [in, out]
_FUSED = "attn.c_attn"  # Conv1D, too
_FUSED_NAMES = ("att.W_query", "att.W_key", "att.W_value")


def to_book_names(checkpoint: GPT2Checkpoint) -> State:
    """Return a checkpoint's tensors under `GPTModel`'s names and in its shapes.

    `c_attn` is split into queries, keys and values; Conv1D weights (`[in, out]`) are transposed.

    Raises:
        UserError: If a tensor's name is not one of GPT-2's.
    """
    if "tok_emb.weight" in checkpoint.state:
        return dict(checkpoint.state)  # a run of ours
    book: State = {}
    for name, tensor in checkpoint.state.items():
        in_block = re.fullmatch(r"h\.(\d+)\.(.+)", name)
        prefix, inner = (f"trf_blocks.{in_block[1]}.", in_block[2]) if in_block else ("", name)
        names = _BLOCK_NAMES if in_block else _OUTER_NAMES
        if inner in names:
            book[prefix + names[inner]] = tensor.T if inner in _TRANSPOSED else tensor
        elif in_block and inner in (f"{_FUSED}.weight", f"{_FUSED}.bias"):
            kind = inner.removeprefix(f"{_FUSED}.")
            for part, target in zip(tensor.tensor_split(3, dim=-1), _FUSED_NAMES, strict=True):
                book[f"{prefix}{target}.{kind}"] = part.T if kind == "weight" else part
        else:
            raise UserError(f"{checkpoint.source}: holds a tensor that GPT-2 does not have: {name}.")
    return book


def to_gpt2_names(classifier: GPTModel) -> State:
    """Return copies of a classifier's tensors, named and shaped as in transformers' GPT-2, with the head as `score`.

    Queries, keys and values without biases get biases of zero.
    """
    ours = classifier.state_dict()
    state = {"score.weight": ours["out_head.weight"], "score.bias": ours["out_head.bias"]}
    state |= {f"transformer.{name}": ours[book] for name, book in _OUTER_NAMES.items() if name != "lm_head.weight"}
    for number in range(len(classifier.trf_blocks)):
        block, theirs = f"trf_blocks.{number}.", f"transformer.h.{number}."
        for name, book in _BLOCK_NAMES.items():
            state[theirs + name] = ours[block + book].T if name in _TRANSPOSED else ours[block + book]
        weights = [ours[f"{block}{name}.weight"].T for name in _FUSED_NAMES]
        biases = [ours.get(f"{block}{name}.bias", torch.zeros(weights[0].shape[1])) for name in _FUSED_NAMES]
        state[f"{theirs}{_FUSED}.weight"] = torch.cat(weights, 1)
        state[f"{theirs}{_FUSED}.bias"] = torch.cat(biases)
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}


def _download_from_hub(repository: str) -> Path:
    try:
        return download_repository(repository, ["config.json", "model*.safetensors", "model.safetensors.index.json"])
    except UserError as error:
        raise UserError(error, ALTERNATIVES) from None


def _read_gpt2(folder: Path, source: str, with_tokenizer: bool) -> GPT2Checkpoint:
    path = require_file(folder, CONFIG, "Name a folder with a GPT-2 that transformers saved.")
    values = read_json(path)
    sizes = read_gpt2_sizes(values, path)
    vocab_size, length = sizes["vocab_size"], sizes["context_length"]
    own = read_foreign_tokenizer(folder, vocab_size, length, values, source) if with_tokenizer else None
    state, head = _read_state(folder), _HEADS.get(str(values.get("architectures")))
    notes: tuple[str, ...] = ()
    if head is not None:
        state = {name: tensor for name, tensor in state.items() if not name.startswith(head)}
        notes = (f"of its {values['architectures'][0]} the head is left out",)
    if own is None:
        return GPT2Checkpoint(sizes, state, str(folder), notes=notes)
    return GPT2Checkpoint(sizes, state, str(folder), tokenizer=own.tokenizer, notes=(*notes, *own.notes))


def _read_state(folder: Path) -> State:
    # Not `GPT2Model.from_pretrained`: it fills missing tensors with random values, drops a language-model head of the
    # checkpoint's own, and reports what did not fit in four lists by its own names. Here every key is ours to account
    # for, and a damaged file is an error of one line.
    pickled = not any(find_file(folder, name) for name in (SINGLE, INDEX))
    names = ("pytorch_model.bin", "pytorch_model.bin.index.json") if pickled else (SINGLE, INDEX)
    state: State = {}
    for file in find_weights(
        folder, f"A GPT-2 folder has {SINGLE} or pytorch_model.bin beside its config.json.", *names
    ):
        state |= unpickle_tensors(file) if pickled else load_tensors(file)
    return {name.removeprefix("transformer."): state[name] for name in state if not name.endswith(OLD_MASKS)}
