"""Compare the model with GPT-2, and with itself after saving and loading: levels 3, 6 and 7.

GPT-2 is transformers' own. It has random weights, saved to a folder from which both sides read them.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

from ..conversion.from_gpt2 import SIZES, GPT2Checkpoint, fill, load_checkpoint
from ..conversion.to_book import as_book
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.fields_spam_gpt import Pooling
from ..model.gpt import GPTModel
from ..model.modeling_spam_gpt import SpamGPTForCausalLM, SpamGPTForSequenceClassification
from . import native_loop
from .comparison import Comparison, Value, compare
from .starting_point import StartingPoint

PAD = native_loop.PAD_TOKEN_ID
TEXTS = 4  # messages whose logits are compared
NEW_TOKENS = 50
TOLERANCE = 2e-5  # of a logit: GPT-2 multiplies by one fused matrix, the book by three

_FRESH_PROCESS = """
import json, pathlib, sys
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer
texts, outputs, *folders = sys.argv[1:]
logits = {}
for folder in folders:
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
    assert "hf_spam" not in sys.modules
    batch = tokenizer(json.loads(pathlib.Path(texts).read_text()), padding=True, truncation=True, return_tensors="pt")
    logits[pathlib.Path(folder).name] = model(**batch).logits.detach()
save_file(logits, outputs)
"""


@contextmanager
def random_gpt2(size: str) -> Iterator[tuple[GPT2LMHeadModel, GPT2Checkpoint]]:
    """Yield transformers' GPT-2 of a size, loaded from a folder, and our checkpoint read from the same folder."""
    sizes = SIZES[size]
    config = GPT2Config(
        n_embd=sizes["emb_dim"],
        n_layer=sizes["n_layers"],
        n_head=sizes["n_heads"],
        initializer_range=0.2 if size == "tiny" else 0.02,  # so that even a narrow model tells tokens apart
        pad_token_id=PAD,
    )
    with tempfile.TemporaryDirectory() as folder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            GPT2LMHeadModel(config).save_pretrained(folder)
        yield GPT2LMHeadModel.from_pretrained(folder).eval(), load_checkpoint(folder)


def pad(rows: Sequence[Sequence[int]], side: str) -> tuple[Tensor, Tensor]:
    """Return the ids and the attention mask, both `[B, T]`, of rows padded on the `left` or `right`."""
    width = max(map(len, rows))
    ids, mask = torch.full((len(rows), width), PAD), torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(width - len(row), width)
        ids[number, place] = torch.tensor(row)
        mask[number, place] = 1
    return ids, mask


# --- level 3: logits -------------------------------------------------------------------------------------------------


def check_logits(subject: StartingPoint, sizes: Sequence[str] = ("tiny", "small")) -> list[Comparison]:
    """Compare the logits of real messages, padded left, right or not at all, with transformers' on each text alone."""
    rows = [row for row in subject.tokenized["test"]["input_ids"] if row][:TEXTS]
    comparisons = []
    for size in sizes:
        with random_gpt2(size) as (gpt2, checkpoint), torch.no_grad():
            comparisons += [*_compare_language_models(size, gpt2, checkpoint, rows)]
            comparisons += [_compare_classifiers(size, gpt2, checkpoint, rows)]
    return comparisons


def _compare_language_models(
    size: str, gpt2: GPT2LMHeadModel, checkpoint: GPT2Checkpoint, rows: list[list[int]]
) -> Iterator[Comparison]:
    alone = [gpt2(torch.tensor([row])).logits[0] for row in rows]  # each [T, vocab_size]

    eager = GPTModel(SpamGPTConfig(**checkpoint.sizes, attn_implementation="eager")).eval()  # type: ignore[call-arg]
    fill(eager, checkpoint)
    expected: dict[str, Value] = {}
    found: dict[str, Value] = {}
    batch = eager(pad(rows, "right")[0])  # no mask: the book's model has none, and its padding is on the right
    for number, row in enumerate(rows):
        expected[f"text {number}, not padded"] = expected[f"text {number}, padded right"] = alone[number]
        found[f"text {number}, not padded"] = eager(torch.tensor([row]))[0]
        found[f"text {number}, padded right"] = batch[number, : len(row)]
    yield compare(3, f"{size}: GPTModel eager = GPT2LMHeadModel", expected, found, TOLERANCE)

    wrapped = SpamGPTForCausalLM(SpamGPTConfig(**checkpoint.sizes)).eval()
    fill(as_book(wrapped), checkpoint)
    expected, found = {}, {}
    for side in ("left", "right"):
        ids, mask = pad(rows, side)
        logits = wrapped(ids, mask).logits
        for number in range(len(rows)):
            expected[f"text {number}, padded {side}"] = alone[number]
            found[f"text {number}, padded {side}"] = logits[number, mask[number].bool()]
    for number, row in enumerate(rows):
        expected[f"text {number}, not padded"] = alone[number]
        found[f"text {number}, not padded"] = wrapped(torch.tensor([row])).logits[0]
    yield compare(3, f"{size}: ForCausalLM SDPA = GPT2LMHeadModel", expected, found, TOLERANCE)


def _compare_classifiers(
    size: str, gpt2: GPT2LMHeadModel, checkpoint: GPT2Checkpoint, rows: list[list[int]]
) -> Comparison:
    ours = SpamGPTForSequenceClassification(SpamGPTConfig(**checkpoint.sizes)).eval()
    fill(as_book(ours), checkpoint)
    nn.init.zeros_(ours.score.bias)  # GPT-2's classifier has none
    theirs = GPT2ForSequenceClassification(gpt2.config).eval()
    theirs.transformer = gpt2.transformer
    theirs.score = ours.score
    expected: dict[str, Value] = {}
    found: dict[str, Value] = {}
    for padding in ("left", "right", "none"):
        for number, row in enumerate(rows):
            place = f"text {number}, padding {padding}"
            expected[place] = theirs(torch.tensor([row])).logits[0]
            if padding == "none":
                found[place] = ours(torch.tensor([row])).logits[0]
            else:
                found[place] = ours(*pad(rows, padding)).logits[number]
    return compare(3, f"{size}: ForSequenceClassification SDPA = GPT2's", expected, found, TOLERANCE)


# --- level 6: generation ---------------------------------------------------------------------------------------------


def check_generation(subject: StartingPoint) -> list[Comparison]:
    """Compare greedy continuations of real messages by the native loop and by our model with GPT-2's."""
    prompts = [row[:8] for row in subject.tokenized["test"]["input_ids"] if row][:TEXTS]
    expected: dict[str, Value] = {}
    native: dict[str, Value] = {}
    wrapped: dict[str, Value] = {}
    with random_gpt2("tiny") as (gpt2, checkpoint):
        model = SpamGPTForCausalLM(SpamGPTConfig(**checkpoint.sizes)).eval()
        fill(as_book(model), checkpoint)
        for number, prompt in enumerate(prompts):
            continuations = (
                (expected, _generate(gpt2, prompt)),
                (wrapped, _generate(model, prompt)),
                (native, native_loop.generate(as_book(model), prompt, NEW_TOKENS)),
            )
            for side, continuation in continuations:
                side |= {f"text {number}, token {position}": float(id_) for position, id_ in enumerate(continuation)}
    what = f"GPT2LMHeadModel, {NEW_TOKENS} greedy tokens"
    return [
        compare(6, f"native loop = {what}", expected, native),
        compare(6, f"ForCausalLM = {what}", expected, wrapped),
    ]


def _generate(model: Any, prompt: list[int]) -> list[int]:
    # The model is Any because mypy cannot match the `self` of `generate`.
    options = {"max_new_tokens": NEW_TOKENS, "do_sample": False, "pad_token_id": PAD, "eos_token_id": None}
    ids, mask = pad([prompt], "right")
    text: list[int] = model.generate(ids, attention_mask=mask, **options)[0].tolist()
    return text


# --- level 7: persistence --------------------------------------------------------------------------------------------


def check_persistence(subject: StartingPoint) -> list[Comparison]:
    """Compare the logits of real messages before and after each way of saving and loading, for every pooling rule."""
    texts = list(subject.splits["test"]["text"][:16])
    subject.tokenizer.model_max_length = subject.classifier.config.max_text_length
    batch = subject.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    rules: tuple[str, ...] = get_args(Pooling)
    ways = ("from_pretrained", ".pth → from_pretrained → .pth", "AutoModel in a fresh process")
    found: dict[str, dict[str, Value]] = {way: {} for way in ways}
    expected: dict[str, Value] = {}
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        home = Path(name)
        for pooling in rules:
            config = subject.configure(pooling=pooling, attn_implementation="sdpa")  # the default of loading
            model = SpamGPTForSequenceClassification(config).eval()
            model.load_state_dict(subject.classifier.state_dict())
            expected[pooling] = model(**batch).logits
            folder = home / pooling
            model.save_pretrained(folder)
            subject.tokenizer.save_pretrained(folder)
            again = SpamGPTForSequenceClassification.from_pretrained(folder)
            found[ways[0]][pooling] = again(**batch).logits
            found[ways[1]][pooling] = _through_pth(model, home)(**batch).logits
        found[ways[2]] |= _in_a_fresh_process([home / pooling for pooling in rules], texts, home)
    return [compare(7, way, expected, logits) for way, logits in found.items()]


def _through_pth(model: SpamGPTForSequenceClassification, home: Path) -> SpamGPTForSequenceClassification:
    """Save and load as the native loop's file, as our checkpoint, and as the native loop's file again."""
    config: Any = model.config
    first, second = (SpamGPTForSequenceClassification(config).eval() for _ in range(2))
    native_loop.save_state(model, home / "first.pth")
    native_loop.load_state(first, home / "first.pth")
    first.save_pretrained(home / "from-pth")
    checkpoint = SpamGPTForSequenceClassification.from_pretrained(home / "from-pth")
    native_loop.save_state(checkpoint, home / "second.pth")
    native_loop.load_state(second, home / "second.pth")
    return second


def _in_a_fresh_process(folders: list[Path], texts: list[str], home: Path) -> dict[str, Tensor]:
    """Return each folder's logits, from a process that imports transformers and the code beside the weights alone."""
    (home / "texts").write_text(json.dumps(texts))
    environment = {**os.environ, "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", _FRESH_PROCESS, str(home / "texts"), str(home / "logits"), *map(str, folders)]
    subprocess.run(command, check=True, env=environment, cwd=home, capture_output=True)
    return load_file(home / "logits")
