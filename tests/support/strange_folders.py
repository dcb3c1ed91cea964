"""Folders that are not the models they say they are: what a stranger, a bad disk or a slip can do to one.

Each fault changes a folder that was right before, and says which words the refusal has.
"""

import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from hf_spam import SpamGPTConfig, SpamGPTForCausalLM, SpamGPTForSequenceClassification
from hf_spam.conversion.to_gpt2 import to_gpt2

Fault = Callable[[Path], object]
END = "<|endoftext|>"
DEEP = "[" * 100_000


def small_tokenizer(**options: Any) -> GPT2Tokenizer:
    """GPT-2's tokenizer without a merge: 256 bytes and the end of a text."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    characters = [*map(chr, printable), *(chr(0x100 + n) for n in range(256 - len(printable)))]
    vocabulary = {character: id_ for id_, character in enumerate([*characters, END])}
    options = {"pad_token": END, "model_max_length": 32, "split_special_tokens": True, **options}
    return GPT2Tokenizer(vocab=vocabulary, merges=[], **options)


def write_model(folder: Path, kind: str = "checkpoint") -> None:
    """Write a tiny model of a kind, with random weights and the small tokenizer."""
    sizes = {
        "vocab_size": 257,
        "context_length": 32,
        "emb_dim": 16,
        "n_heads": 2,
        "n_layers": 2,
        "initializer_range": 0.2,
    }
    ids = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 256)
    config = SpamGPTConfig(**sizes, **ids, id2label={0: "ham", 1: "spam"}, label2id={"ham": 0, "spam": 1})  # type: ignore[arg-type]
    torch.manual_seed(0)
    model: Any = SpamGPTForCausalLM(config) if kind == "language model" else SpamGPTForSequenceClassification(config)
    (to_gpt2(model) if kind == "gpt2" else model).save_pretrained(folder)
    small_tokenizer().save_pretrained(folder)


def write_run(folder: Path, records: Path) -> None:
    """Write the tiny model with another run's records and plots: a run that opens in milliseconds."""
    write_model(folder)
    for file in records.iterdir():
        if file.name in ("metrics.json", "arguments.json") or file.name.endswith(("-plot.png", "-plot.pdf")):
            shutil.copyfile(file, folder / file.name)


def write_gpt2(folder: Path) -> None:
    """Write a tiny GPT-2 as `--weights` takes it, in both of transformers' formats."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=257, n_embd=16, n_layer=2, n_head=2, n_positions=32, eos_token_id=256)
    )
    model.save_pretrained(folder)


# --- changes ---------------------------------------------------------------------------------------------------------


def change_json(name: str, changes: Mapping[str, object] | Callable[[Any], object]) -> Fault:
    """Set keys of a JSON file, or let a function change its content."""

    def change(folder: Path) -> None:
        values = json.loads((folder / name).read_text(encoding="utf-8"))
        if callable(changes):
            values = changes(values) or values
        else:
            values |= changes
        (folder / name).write_text(json.dumps(values), encoding="utf-8")

    return change


def config(**changes: object) -> Fault:
    return change_json("config.json", changes)


def without(name: str, *keys: str) -> Fault:
    return change_json(name, lambda values: [values.pop(key, None) for key in keys] and values)


def content(name: str, data: bytes | str) -> Fault:
    """Replace a file's content."""
    return lambda folder: (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def missing(name: str) -> Fault:
    return lambda folder: (folder / name).unlink()


def cut(name: str, share: float) -> Fault:
    """Keep the first part of a file."""

    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * share)])

    return change


def link(name: str, target: str) -> Fault:
    """Put a file elsewhere, and a link in its place."""

    def change(folder: Path) -> None:
        elsewhere = folder / target
        elsewhere.parent.mkdir(parents=True, exist_ok=True)
        (folder / name).rename(elsewhere)
        (folder / name).symlink_to(target)

    return change


def pipe(name: str) -> Fault:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return change


def device(name: str) -> Fault:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to("/dev/zero")

    return change


def tensors(change: Callable[[dict[str, Tensor]], object], name: str = "model.safetensors") -> Fault:
    def rewrite(folder: Path) -> None:
        state = load_file(folder / name)
        change(state)
        save_file(state, folder / name, {"format": "pt"})

    return rewrite


def set_value(tensor: str, value: float) -> Fault:
    def change(state: dict[str, Tensor]) -> None:
        state[tensor].view(-1)[-1] = value

    return tensors(change)


def header(data: bytes) -> Fault:
    """A safetensors file with this header and nothing after it."""
    return content("model.safetensors", len(data).to_bytes(8, "little") + data)


def split(index: Callable[[dict[str, str]], Any]) -> Fault:
    """Replace the weights by two parts and an index that a function writes."""

    def change(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        names = sorted(state)
        halves = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
        for file, part in halves.items():
            save_file({name: state[name] for name in part}, folder / file, {"format": "pt"})
        (folder / "model.safetensors").unlink()
        found = index({name: file for file, part in halves.items() for name in part})
        (folder / "model.safetensors.index.json").write_text(found if isinstance(found, str) else json.dumps(found))

    return change


def both(*faults: Fault) -> Fault:
    return lambda folder: [fault(folder) for fault in faults]


def vocabulary(change: Callable[[dict[str, int]], object]) -> Fault:
    return change_json("tokenizer.json", lambda values: change(values["model"]["vocab"]) and None)


def save_pickle(value: object) -> Fault:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        torch.save(value, folder / "pytorch_model.bin")

    return change


def flip_bits(name: str, seed: int, count: int = 3) -> Fault:
    """Flip bits at random places of a file."""

    def change(folder: Path) -> None:
        data, dice = bytearray((folder / name).read_bytes()), random.Random(seed)
        for _ in range(count):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        (folder / name).write_bytes(bytes(data))

    return change


HEAD = "score.weight"
NOT_JSON = "expected JSON"
NO_OBJECT = "expected a JSON object"
ANOTHER = "the tokenizer of another model"
DAMAGED = "found a damaged file"

# --- every file of a model -------------------------------------------------------------------------------------------

JSON_FAULTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", NOT_JSON),
    "a list": ("[]", NO_OBJECT),
    "a number": ("5", NO_OBJECT),
    "null": ("null", NO_OBJECT),
    "half": ('{"a": ', NOT_JSON),
    "HTML": ("<html>Sign in</html>", NOT_JSON),
    "deep": (DEEP, "nested too deeply"),
    "deep inside": ('{"a": ' + "[" * 100_000, "nested too deeply"),
    "Latin-1": ('{"a": "é"}'.encode("latin-1"), "expected JSON in UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "expected JSON in UTF-8"),
    "zeros": (b"\0" * 1000, NOT_JSON),
    "5,000 digits": ('{"a": ' + "9" * 5000 + "}", NOT_JSON),
    "a key twice": ('{"vocab_size": 257, "vocab_size": 258}', "twice"),
    "a pickle": (b"\x80\x04\x95\x0b\x00", "expected JSON"),
}

CONFIG_FAULTS: dict[str, tuple[Fault, str]] = {
    "nothing in it": (content("config.json", "{}"), "found architectures None"),
    "no architectures": (without("config.json", "architectures"), "found architectures None"),
    "architectures text": (config(architectures="SpamGPTForSequenceClassification"), "found architectures 'Spam"),
    "two architectures": (config(architectures=["SpamGPTForSequenceClassification", "SpamGPTForCausalLM"]), "found architectures ["),
    "architectures nested": (config(architectures=[["SpamGPTForSequenceClassification"]]), "found architectures [["),
    "another architecture": (config(architectures=["BertForSequenceClassification"]), "found architectures ['Bert"),
    "a causal model": (config(architectures=["SpamGPTForCausalLM"]), "found a language model, which has no labels"),
    "another model type": (config(model_type="bert"), "expected model_type spam_gpt, found 'bert'"),
    "no model type": (without("config.json", "model_type"), "expected model_type spam_gpt, found None"),
    "model type 5": (config(model_type=5), "expected model_type spam_gpt, found 5"),
    "sizes as text": (config(vocab_size="50257"), "expected vocab_size from 1 to 1,048,576, found '50257'"),
    "a trillion tokens": (config(vocab_size=10**12), "expected vocab_size from 1 to 1,048,576, found 1000000000000"),
    "no tokens": (config(vocab_size=0), "expected vocab_size from 1"),
    "fewer than none": (config(n_layers=-1), "expected n_layers from 1"),
    "true layers": (config(n_layers=True), "expected n_layers from 1 to 1,024, found True"),
    "half a layer": (config(n_layers=1.5), "expected n_layers from 1 to 1,024, found 1.5"),
    "layers in a list": (config(n_layers=[2]), "expected n_layers from 1 to 1,024, found [2]"),
    "null width": (config(emb_dim=None), "expected emb_dim from 1 to 32,768, found None"),
    "an infinite width": (content("config.json", '{"architectures": ["SpamGPTForSequenceClassification"], "model_type": "spam_gpt", "emb_dim": Infinity}'), "expected emb_dim from 1"),
    "10**15 positions": (config(context_length=10**15), "expected context_length from 1"),
    "heads that do not divide": (config(n_heads=3), "emb_dim must be a multiple of n_heads"),
    "no heads": (config(n_heads=0), "expected n_heads from 1"),
    "a layer more": (config(n_layers=3), "model.trf_blocks.2.att.W_query.weight is missing"),
    "a layer less": (config(n_layers=1), "has no place in the model"),
    "twice as wide": (config(emb_dim=32), "should be [257, 32] and is [257, 16]"),
    "a longer context": (config(context_length=64), "model.pos_emb.weight should be [64, 16] and is [32, 16]"),
    "a shorter context": (config(context_length=16), "model.pos_emb.weight should be [16, 16] and is [32, 16]"),
    "more tokens": (config(vocab_size=258), "should be [258, 16] and is [257, 16]"),
    "no biases": (config(qkv_bias=False), "has no place in the model"),
    "biases as text": (config(qkv_bias="yes"), "expected true or false as qkv_bias, found 'yes'"),
    "dropout of 2": (config(drop_rate=2), "drop_rate must be in [0, 1), got 2"),
    "dropout as text": (config(drop_rate="0.1"), "expected a number as drop_rate, found '0.1'"),
    "dropout NaN": (config(drop_rate=float("nan")), "expected a number as drop_rate, found nan"),
    "another pooling": (config(pooling="mean of all"), "pooling must be one of"),
    "pooling 5": (config(pooling=5), "pooling must be one of"),
    "pooling in a list": (config(pooling=["last_token"]), "pooling must be one of"),
    "padded beyond": (config(pooling="last_position", pad_to_length=64), "pad_to_length must be between 1 and context_length"),
    "padded to nothing": (config(pad_to_length=0), "expected pad_to_length from 1"),
    "padding as text": (config(pad_to_length="32"), "expected pad_to_length from 1"),
    "a pad id that is none": (config(pad_token_id=257), "expected pad_token_id from 0 to 256, found 257"),
    "a pad id below": (config(pad_token_id=-1), "expected pad_token_id from 0 to 256, found -1"),
    "the pad id of another": (config(pad_token_id=0), ANOTHER),
    "quantized": (config(quantization_config={"quant_method": "bitsandbytes"}), "found a quantization_config"),
    "no labels": (without("config.json", "id2label", "label2id"), "expected id2label, the name of each label by its id, found null"),
    "empty labels": (config(id2label={}, label2id={}), "expected id2label, the name of each label by its id, found an object"),
    "labels in a list": (config(id2label=["ham", "spam"]), "expected id2label, the name of each label by its id, found a list"),
    "swapped labels": (config(id2label={"0": "spam", "1": "ham"}), "expected label2id to be id2label the other way round"),
    "a label missing": (config(id2label={"0": "ham"}, label2id={"ham": 0}), "score.weight should be [1, 16] and is [2, 16]"),
    "a label too many": (config(id2label={"0": "ham", "1": "spam", "2": "scam"}, label2id={"ham": 0, "spam": 1, "scam": 2}), "score.weight should be [3, 16] and is [2, 16]"),
    "ids from 1": (config(id2label={"1": "ham", "2": "spam"}), "expected in id2label the ids 0 to 1, found 1, 2"),
    "ids with a gap": (config(id2label={"0": "ham", "2": "spam"}), "expected in id2label the ids 0 to 1, found 0, 2"),
    "ids that are words": (config(id2label={"ham": 0, "spam": 1}), "expected in id2label the ids 0 to 1, found ham, spam"),
    "labels of numbers": (config(id2label={"0": 0, "1": 1}), "expected as label 0 a name"),
    "a blank label": (config(id2label={"0": " ", "1": "spam"}), "expected as label 0 a name"),
    "a null label": (config(id2label={"0": "ham", "1": None}), "expected as label 1 a name"),
    "a label of a megabyte": (config(id2label={"0": "h" * 10**6, "1": "spam"}), "expected as label 0 a name of up to 200 characters"),
    "one name twice": (config(id2label={"0": "spam", "1": "spam"}), "expected a different name for each label"),
    "label2id of texts": (config(label2id={"ham": "0", "spam": "1"}), "expected label2id to be id2label the other way round"),
    "label2id a list": (config(label2id=[]), "expected label2id to be id2label the other way round"),
    "label2id of false and true": (config(label2id={"ham": False, "spam": True}), "expected label2id to be id2label the other way round"),
    "num_labels of another": (config(num_labels=3), "expected num_labels 2, as id2label has, found 3"),
    "another problem": (config(problem_type="ranking"), "expected problem_type single_label_classification, found 'ranking'"),
}  # fmt: skip

TENSOR_FAULTS: dict[str, tuple[Fault, str]] = {
    "no head": (tensors(lambda state: state.pop(HEAD)), f"{HEAD} is missing"),
    "no head's bias": (tensors(lambda state: state.pop("score.bias")), "score.bias is missing"),
    "no embedding": (tensors(lambda state: state.pop("model.tok_emb.weight")), "model.tok_emb.weight is missing"),
    "nothing": (tensors(lambda state: state.clear()), "is missing"),
    "a tensor more": (tensors(lambda state: state.update(extra=torch.ones(1))), "extra has no place in the model"),
    "a transposed one": (tensors(lambda state: state.update({"model.trf_blocks.0.ff.layers.0.weight": torch.ones(16, 64)})), "should be [64, 16] and is [16, 64]"),
    "a scalar": (tensors(lambda state: state.update({HEAD: torch.ones(())})), "should be [2, 16] and is []"),
    "whole numbers": (tensors(lambda state: state.update({HEAD: torch.ones(2, 16, dtype=torch.int64)})), "should be of floating point and is I64"),
    "truths": (tensors(lambda state: state.update({HEAD: torch.ones(2, 16, dtype=torch.bool)})), "should be of floating point and is BOOL"),
    "NaN in the head": (set_value(HEAD, float("nan")), "expected finite values, found 1 of 32 that are not"),
    "NaN in the embedding": (set_value("model.tok_emb.weight", float("nan")), "expected finite values, found 1 of 4,112 that are not"),
    "infinite": (set_value("model.final_norm.scale", float("inf")), "expected finite values, found 1 of 16 that are not"),
    "minus infinite": (set_value("model.trf_blocks.1.att.out_proj.bias", -float("inf")), "expected finite values"),
    "no file": (missing("model.safetensors"), "expected weights in model.safetensors, found none"),
    "an empty file": (content("model.safetensors", b""), DAMAGED),
    "seven bytes": (content("model.safetensors", b"1234567"), DAMAGED),
    "a header without end": (content("model.safetensors", b"\xff" * 8 + b"{}"), DAMAGED),
    "a header of 10**15 bytes": (content("model.safetensors", (10**15).to_bytes(8, "little") + b"{}"), DAMAGED),
    "an empty header": (header(b"{}"), "is missing"),
    "a header that is a list": (header(b"[]"), DAMAGED),
    "a header that is no JSON": (header(b"{nonsense}"), DAMAGED),
    "a tensor beyond the file": (header(b'{"a":{"dtype":"F32","shape":[1000],"data_offsets":[0,4000]}}'), DAMAGED),
    "a tensor of 2**60": (header(b'{"a":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,8]}}'), DAMAGED),
    "an unknown type": (header(b'{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}'), DAMAGED),
    "a negative shape": (header(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}'), DAMAGED),
    "a pickle for weights": (content("model.safetensors", b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00"), DAMAGED),
    "a text for weights": (content("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), DAMAGED),
    "a folder for weights": (both(missing("model.safetensors"), lambda folder: (folder / "model.safetensors").mkdir()), "found a folder"),
    **{f"the first {share:.0%}": (cut("model.safetensors", share), DAMAGED) for share in (0.01, 0.3, 0.9, 0.999)},
    "a pickle alone": (both(missing("model.safetensors"), content("pytorch_model.bin", b"\x80")), "expected weights in model.safetensors, found none"),
    "index a list": (split(lambda map_: []), NO_OBJECT),
    "index without map": (split(lambda map_: {"metadata": {}}), "expected a weight_map of tensors to files, found null"),
    "map a list": (split(lambda map_: {"weight_map": list(map_)}), "expected a weight_map of tensors to files, found a list"),
    "map of numbers": (split(lambda map_: {"weight_map": dict.fromkeys(map_, 5)}), "expected a weight_map"),
    "map of nothing": (split(lambda map_: {"weight_map": {}}), "expected a weight_map"),
    "map to a missing file": (split(lambda map_: {"weight_map": {**map_, HEAD: "model-00003-of-00002.safetensors"}}), "expected model-00003-of-00002.safetensors in it, found none"),
    "map out of the folder": (split(lambda map_: {"weight_map": {**map_, HEAD: "../../secret.safetensors"}}), "which leads out of it"),
    "map to an absolute file": (split(lambda map_: {"weight_map": dict.fromkeys(map_, "/etc/passwd")}), "which leads out of it"),
    "map to Windows": (split(lambda map_: {"weight_map": dict.fromkeys(map_, "C:\\secret")}), "which leads out of it"),
    "map to the folder": (split(lambda map_: {"weight_map": dict.fromkeys(map_, ".")}), "which leads out of it"),
    "map to itself": (split(lambda map_: {"weight_map": dict.fromkeys(map_, "model.safetensors.index.json")}), DAMAGED),
    "map without a part": (split(lambda map_: {"weight_map": {name: file for name, file in map_.items() if "00001" in file}}), "is missing"),
    "a part twice": (both(split(lambda map_: {"weight_map": map_}), lambda folder: (folder / "model-00002-of-00002.safetensors").write_bytes((folder / "model-00001-of-00002.safetensors").read_bytes())), "is there twice"),
}  # fmt: skip

TOKENIZER_FAULTS: dict[str, tuple[Fault, str]] = {
    "no tokenizer": (missing("tokenizer.json"), "expected tokenizer.json in it, found none"),
    "no settings": (missing("tokenizer_config.json"), "expected tokenizer_config.json in it, found none"),
    "nothing in it": (content("tokenizer.json", "{}"), "expected GPT-2's byte-level BPE, found 'null'"),
    "a model of words": (change_json("tokenizer.json", lambda values: values["model"].update(type="WordLevel")), ANOTHER),
    "a model of pieces": (change_json("tokenizer.json", {"model": {"type": "WordPiece", "vocab": {"a": 0}}}), ANOTHER),
    "split at spaces": (change_json("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}), ANOTHER),
    "not split": (change_json("tokenizer.json", {"pre_tokenizer": None}), ANOTHER),
    "normalized": (change_json("tokenizer.json", {"normalizer": {"type": "Lowercase"}}), ANOTHER),
    "another vocabulary": (vocabulary(lambda vocab: vocab.update({f"word{n}": 257 + n for n in range(100)})), "expected the 257 tokens of the model's vocabulary, found 357"),
    "a smaller vocabulary": (vocabulary(lambda vocab: [vocab.pop(token) for token in ("a", "b")]), "ids that are missing or taken twice"),
    "no end of text": (both(vocabulary(lambda vocab: vocab.update({"x!": vocab.pop(END)})), change_json("tokenizer.json", {"added_tokens": []}), change_json("tokenizer_config.json", dict.fromkeys(("pad_token", "bos_token", "eos_token", "unk_token")))), "expected the special tokens <|endoftext|> in the vocabulary"),
    "an id too high": (vocabulary(lambda vocab: vocab.update({"a": 5000})), "ids that are missing or taken twice"),
    "an id below": (vocabulary(lambda vocab: vocab.update({"a": -1})), "ids that are missing or taken twice"),
    "an id twice": (vocabulary(lambda vocab: vocab.update({"a": vocab["b"]})), "ids that are missing or taken twice"),
    "ids as texts": (vocabulary(lambda vocab: vocab.update({"a": "64"})), "expected a vocabulary of tokens to ids"),
    "ids that are true": (vocabulary(lambda vocab: vocab.update({"a": True})), "expected a vocabulary of tokens to ids"),
    "ids of a fraction": (vocabulary(lambda vocab: vocab.update({"a": 64.0})), "expected a vocabulary of tokens to ids"),
    "a vocabulary list": (change_json("tokenizer.json", lambda values: values["model"].update(vocab=[])), "expected a vocabulary of tokens to ids, found a list"),
    "no vocabulary": (change_json("tokenizer.json", lambda values: values["model"].pop("vocab") and None), "expected a vocabulary of tokens to ids, found null"),
    "no merges": (change_json("tokenizer.json", lambda values: values["model"].update(merges=None)), "expected a list of merges, found null"),
    "merges of numbers": (change_json("tokenizer.json", lambda values: values["model"].update(merges=[5])), "expected pairs of tokens as merges, found 5 as number 1"),
    "merges of three": (change_json("tokenizer.json", lambda values: values["model"].update(merges=["a b c"])), "expected pairs of tokens as merges"),
    "merges of strangers": (change_json("tokenizer.json", lambda values: values["model"].update(merges=["a b"])), "expected a tokenizer that can be built"),
    "added tokens 5": (change_json("tokenizer.json", {"added_tokens": 5}), "expected a list of added_tokens, found a number"),
    "added tokens of texts": (change_json("tokenizer.json", {"added_tokens": ["a"]}), "expected a list of added_tokens"),
    "an added token without id": (change_json("tokenizer.json", {"added_tokens": [{"content": "a"}]}), "expected the id of an added token"),
    "an added token of id 10**9": (change_json("tokenizer.json", {"added_tokens": [{"id": 10**9, "content": "b!"}]}), "expected the id of an added token"),
    "an added token without text": (change_json("tokenizer.json", {"added_tokens": [{"id": 256, "content": ""}]}), "expected a token as added token"),
    "an added token too many": (change_json("tokenizer.json", lambda values: values["added_tokens"].append({**values["added_tokens"][0], "id": 257, "content": "[PAD]"})), "expected the 257 tokens"),
    "no length": (change_json("tokenizer_config.json", {"model_max_length": 0}), "expected model_max_length from 1"),
    "a length below": (change_json("tokenizer_config.json", {"model_max_length": -5}), "expected model_max_length from 1"),
    "a length as text": (change_json("tokenizer_config.json", {"model_max_length": "32"}), "expected model_max_length from 1"),
    "a length of NaN": (change_json("tokenizer_config.json", {"model_max_length": float("nan")}), "expected model_max_length from 1"),
    "a length of true": (change_json("tokenizer_config.json", {"model_max_length": True}), "expected model_max_length from 1"),
    "another class": (change_json("tokenizer_config.json", {"tokenizer_class": "BertTokenizer"}), "expected the tokenizer_class GPT2Tokenizer, found 'BertTokenizer'"),
    "class 5": (change_json("tokenizer_config.json", {"tokenizer_class": 5}), "expected the tokenizer_class GPT2Tokenizer, found 5"),
    "a pad token that is none": (change_json("tokenizer_config.json", {"pad_token": "[PAD]"}), "expected the pad_token '[PAD]' in the vocabulary, found none"),
    "another pad token": (change_json("tokenizer_config.json", {"pad_token": "a"}), ANOTHER),
    "a pad token 5": (change_json("tokenizer_config.json", {"pad_token": 5}), "expected a token as pad_token, found 5"),
    "a pad token of an object": (change_json("tokenizer_config.json", {"pad_token": {"content": 5}}), "expected a token as pad_token"),
    "padding on top": (change_json("tokenizer_config.json", {"padding_side": "top"}), "expected the padding_side left or right, found 'top'"),
    "a flag of text": (change_json("tokenizer_config.json", {"split_special_tokens": "yes"}), "expected true or false as split_special_tokens, found 'yes'"),
}  # fmt: skip

PLACE_FAULTS: dict[str, tuple[Fault, str]] = {
    **{f"{name} is a pipe": (pipe(name), "found a pipe") for name in ("config.json", "tokenizer.json", "model.safetensors")},
    **{f"{name} is a device": (device(name), "found a device") for name in ("config.json", "tokenizer_config.json", "model.safetensors")},
    **{f"{name} is elsewhere": (link(name, "../elsewhere/file"), "which is outside of it") for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")},
    "a dangling link": (both(missing("tokenizer.json"), lambda folder: (folder / "tokenizer.json").symlink_to("nowhere")), "found none that can be read"),
    "a link to itself": (both(missing("config.json"), lambda folder: (folder / "config.json").symlink_to("config.json")), "found none that can be read"),
}  # fmt: skip

FAULTS: dict[str, tuple[Fault, str]] = {
    **{f"config: {name}": fault for name, fault in CONFIG_FAULTS.items()},
    **{f"config.json, {name}": (content("config.json", data), words) for name, (data, words) in JSON_FAULTS.items()},
    **{f"weights: {name}": fault for name, fault in TENSOR_FAULTS.items()},
    **{f"tokenizer: {name}": fault for name, fault in TOKENIZER_FAULTS.items()},
    **{f"{file}, {name}": (content(file, data), words) for file in ("tokenizer.json", "tokenizer_config.json") for name, (data, words) in JSON_FAULTS.items()},
    **{f"place: {name}": fault for name, fault in PLACE_FAULTS.items()},
    **{f"manifest.json, {name}": (content("manifest.json", data), words) for name, (data, words) in JSON_FAULTS.items()},
}  # fmt: skip

# --- a GPT-2 for --weights -------------------------------------------------------------------------------------------

GPT2_FAULTS: dict[str, tuple[Fault, str]] = {
    **{f"config.json, {name}": (content("config.json", data), words) for name, (data, words) in JSON_FAULTS.items()},
    "a trillion tokens": (config(vocab_size=10**12), "expected vocab_size from 1"),
    "10**9 layers": (config(n_layer=10**9), "expected n_layer from 1"),
    "100 layers": (config(n_layer=100), "is missing"),
    "sizes as text": (config(n_embd="16"), "expected n_embd from 1 to 32,768, found '16'"),
    "a width of 30,000": (config(n_embd=30_000), "should be"),
    "heads that do not divide": (config(n_head=3), "expected n_embd to be a multiple of n_head"),
    "another inner width": (config(n_inner=7), "expected n_inner 64 or null, found 7"),
    "another activation": (config(activation_function="relu"), "expected activation_function 'gelu_new', found 'relu'"),
    "unscaled": (config(scale_attn_weights=False), "expected scale_attn_weights True, found False"),
    "scaled by 1": (config(scale_attn_weights=1), "expected scale_attn_weights True, found 1"),
    "another type": (config(model_type=["gpt2"]), "expected model_type 'gpt2', found ['gpt2']"),
    "NaN": (tensors(lambda state: state["transformer.wte.weight"].view(-1)[:1].fill_(float("nan"))), "expected finite values"),
    "cut off": (cut("model.safetensors", 0.5), DAMAGED),
    "a list in a pickle": (save_pickle([1, 2]), "expected tensors by their names, found a list"),
    "a number in a pickle": (save_pickle(5), "expected tensors by their names, found a number"),
    "texts in a pickle": (save_pickle({"wte.weight": "text"}), "expected a plain tensor as wte.weight, found str"),
    "numbers for names": (save_pickle({1: torch.ones(1)}), "expected tensors by their names"),
    "sparse": (save_pickle({"wte.weight": torch.ones(2, 2).to_sparse()}), "expected a plain tensor as wte.weight"),
    "code in a pickle": (both(missing("model.safetensors"), content("pytorch_model.bin", b"cos\nsystem\n(S'touch ran'\ntR.")), "cannot be read as tensors"),
    "an empty pickle": (both(missing("model.safetensors"), content("pytorch_model.bin", b"")), "cannot be read as tensors"),
    "a damaged zip": (both(missing("model.safetensors"), content("pytorch_model.bin", b"PK\x03\x04" + b"\0" * 100)), "cannot be read as tensors"),
    "weights elsewhere": (link("model.safetensors", "../elsewhere/weights"), "which is outside of it"),
    "nothing": (missing("model.safetensors"), "expected weights in pytorch_model.bin, found none"),
}  # fmt: skip
