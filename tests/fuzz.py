"""Fuzz the doors by which files come in, guided by coverage: a result or a `UserError`, never anything else.

pip install atheris
python tests/fuzz.py configuration -runs=1000000 -max_len=4096 -timeout=10

The targets are the keys of `TARGETS`. An input that breaks a promise is kept as `crash-*` or `timeout-*`.
"""

import gzip
import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import atheris
import datasets

with atheris.instrument_imports(include=["hf_spam"]):
    from hf_spam import SpamGPTConfig, UserError
    from hf_spam.checkpoint.configuration import parse_configuration, read_gpt2_sizes
    from hf_spam.checkpoint.general_tokenizer import build_general_tokenizer
    from hf_spam.checkpoint.tensors import check_headers
    from hf_spam.checkpoint.tokenizer import build_tokenizer, parse_settings
    from hf_spam.commands import train
    from hf_spam.data.messages import read_messages
    from hf_spam.data.sources import read_file
    from hf_spam.errors import one_line
    from hf_spam.inference.batch_prediction import open_texts
    from hf_spam.options import read_config, to_argv
    from hf_spam.system.manifest import MANIFEST_FILE, read_manifest
    from hf_spam.system.reading import parse_json
    from hf_spam.tables.folders import read_folder
    from hf_spam.training.checkpoints import is_complete

PLACE = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
CONFIG = SpamGPTConfig(vocab_size=5, context_length=8, emb_dim=2, n_heads=1, n_layers=1, pad_token_id=3)


LABELLED = b"label,text\nham,See you\nspam,Win a prize\n"
PARSER = train.make_parser()


def save_splits() -> bytes:
    """Save a split, and return its Arrow file."""
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["ham", "spam"])}
    )
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features)
    datasets.DatasetDict({"train": rows}).save_to_disk(PLACE / "splits")
    state = PLACE / "splits/train/state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "_data_files": [{"filename": "data.arrow"}]}))
    (PLACE / "checkpoint-1").mkdir()
    return next((PLACE / "splits/train").glob("*.arrow")).read_bytes()


ARROW = save_splits()


def write(data: bytes, name: str) -> Path:
    path = PLACE / name
    path.write_bytes(data)
    return path


def configuration(data: bytes) -> None:
    values = parse_json(data, "config.json")
    kind, config = parse_configuration(values, Path("config.json"))
    assert kind in ("checkpoint", "language model", "gpt2")
    assert config.emb_dim % config.n_heads == 0
    assert list(config.id2label or {}) == list(range(config.num_labels))


def gpt2_sizes(data: bytes) -> None:
    sizes = read_gpt2_sizes(parse_json(data, "config.json"), Path("config.json"))
    assert all(type(size) is int and 0 < size <= 2**20 for size in sizes.values())


def tokenizer(data: bytes) -> None:
    content, settings = parse_json(data, "tokenizer.json"), parse_settings({"pad_token": "z"}, Path("settings"))
    assert len(build_tokenizer(content, settings, CONFIG, Path("tokenizer.json"))) <= CONFIG.vocab_size


def general_tokenizer(data: bytes) -> None:
    content, settings = parse_json(data, "tokenizer.json"), parse_settings({"pad_token": "z"}, Path("settings"))
    found = build_general_tokenizer(content, settings, CONFIG.vocab_size, CONFIG.pad_token_id, Path("tokenizer.json"))
    assert max(found.get_vocab().values()) < CONFIG.vocab_size


def settings(data: bytes) -> None:
    found = parse_settings(parse_json(data, "tokenizer_config.json"), Path("tokenizer_config.json"))
    assert found.get("model_max_length", 1) >= 1


def manifest(data: bytes) -> None:
    write(data, MANIFEST_FILE)
    for name in read_manifest(PLACE) or ():
        assert (PLACE / name).resolve().is_relative_to(PLACE.resolve())


def header(data: bytes) -> None:
    text, _, values = data.partition(b"\0")  # what is found by chance is inside the header, not its length
    file = write(len(text).to_bytes(8, "little") + text + values, "model.safetensors")
    check_headers([file], PLACE, {"a": (1,)})


def messages(data: bytes, name: str) -> None:
    path = write(data, name)
    try:
        frame = read_file(path)
        assert all(isinstance(label, str | list) and label != "" for label in frame["Label"])
        assert all(isinstance(text, str) and text.strip() for text in frame["Text"])
    finally:
        table = open_texts(path)
        assert all(isinstance(table.text(place, row), str) for place, row in table.rows())


def option_file(data: bytes, name: str) -> None:
    options = read_config(write(data, name))
    found = PARSER.given(to_argv(options, PARSER))
    assert set(found) <= {key.replace("-", "_").removeprefix("no_") for key in options}


def splits(data: bytes) -> None:
    write(data, "splits/train/data.arrow")
    for found in read_messages(read_folder(PLACE / "splits")).values():
        assert len(found.frame) > 0


def seal(data: bytes) -> None:
    write(data, "checkpoint-1/seal.json")
    is_complete(PLACE / "checkpoint-1")


TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "configuration": (
        configuration,
        [
            b'{"architectures": ["SpamGPTForSequenceClassification"], "model_type": "spam_gpt", "vocab_size": 9, '
            b'"emb_dim": 4, "n_heads": 2, "id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}, '
            b'"pad_token_id": 8, "bos_token_id": 8, "eos_token_id": 8, "pooling": "last_position", "drop_rate": 0.1}',
            b'{"architectures": ["GPT2ForSequenceClassification"], "model_type": "gpt2", "n_embd": 4, "n_head": 2, '
            b'"id2label": {"0": "a", "1": "b"}, "layer_norm_epsilon": 1e-05, "n_inner": null}',
            b'{"architectures": ["SpamGPTForCausalLM"], "model_type": "spam_gpt", "qkv_bias": true}',
        ],
    ),
    "gpt2_sizes": (gpt2_sizes, [b'{"model_type": "gpt2", "n_embd": 4, "n_head": 2, "scale_attn_weights": true}']),
    "tokenizer": (
        tokenizer,
        [
            b'{"added_tokens": [{"id": 3, "content": "z", "special": true}], "normalizer": null, "pre_tokenizer": '
            b'{"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "z": 3, "<|endoftext|>": 4}, '
            b'"merges": [["a", "b"]]}}'
        ],
    ),
    "general_tokenizer": (
        general_tokenizer,
        [
            b'{"added_tokens": [{"id": 3, "content": "z", "special": true, "single_word": false, "lstrip": false, '
            b'"rstrip": false, "normalized": false}], "normalizer": {"type": "NFKC"}, "pre_tokenizer": {"type": '
            b'"Metaspace", "replacement": "_", "prepend_scheme": "always", "split": true}, "model": {"type": "Unigram", '
            b'"unk_id": 0, "vocab": [["a", -1.0], ["b", -2.0], ["ab", -1.5], ["z", 0.0]], "byte_fallback": false}}'
        ],
    ),
    "settings": (
        settings,
        [
            b'{"model_max_length": 64, "pad_token": {"content": "z", "lstrip": false}, "padding_side": "left", '
            b'"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": false}'
        ],
    ),
    "manifest": (manifest, [b'{"files": {"a/b.json": {"sha256": "' + b"0" * 64 + b'", "bytes": 5}}}']),
    "header": (header, [b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}\0' + b"\1" * 4]),
    "csv": (partial(messages, name="a.csv"), [LABELLED, b'text,label\n"a, ""b""\nc",spam\nd,0\n']),
    "tsv": (partial(messages, name="a.tsv"), [LABELLED.replace(b",", b"\t")]),
    "jsonl": (
        partial(messages, name="a.jsonl"),
        [b'{"label": "ham", "text": "a"}\n{"label": 1, "text": "\\ud800 b"}\n'],
    ),
    "gzip": (partial(messages, name="a.csv.gz"), [gzip.compress(LABELLED, mtime=0)]),
    "yaml": (partial(option_file, name="a.yaml"), [b"seed: 5\nreport_to: [none]\nbalance: no\nlearning_rate: 1e-4\n"]),
    "json": (partial(option_file, name="a.json"), [b'{"seed": 5, "accelerator_config": {"split_batches": true}}']),
    "splits": (splits, [ARROW]),
    "seal": (seal, [b'{"a.json": "' + b"0" * 64 + b'"}']),
}


def main() -> None:
    """Run one target with libFuzzer's options."""
    name, *options = sys.argv[1:]
    target, seeds = TARGETS[name]

    def test_one_input(data: bytes) -> None:
        try:
            target(data)
            return
        except UserError as error:
            message = str(error)
        assert message.count("\n") < 10
        assert all(one_line(line) == line for line in message.split("\n"))

    corpus = Path(tempfile.mkdtemp())
    for number, seed in enumerate(seeds):
        target(seed)  # a seed that is refused would lead nowhere
        (corpus / str(number)).write_bytes(seed)
    atheris.Setup([sys.argv[0], *options, str(corpus)], test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
