"""The chapter's program: its batches, its loss, its order of draws, its files.   pytest tests/equivalence/test_native_loop.py"""

import math
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import tiktoken
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from hf_spam import GPTModel, SpamGPTConfig, SpamGPTForSequenceClassification, UserError
from hf_spam.conversion.to_book import as_book
from hf_spam.equivalence import native_loop
from hf_spam.equivalence.chapter import BY_LABEL, PLACES
from hf_spam.inference.classifier import EXAMPLES
from hf_spam.tokens.tokenization import gpt2_encoding
from hf_spam.trainable.freezing import freeze

PAD = 50256


@pytest.fixture(scope="module")
def encoding() -> tiktoken.Encoding:
    return gpt2_encoding()


@pytest.fixture
def model(tiny_config: SpamGPTConfig) -> GPTModel:
    torch.manual_seed(0)
    return GPTModel(SpamGPTConfig(**tiny_config.to_dict() | {"vocab_size": 50257}), num_labels=2)


# --- data -------------------------------------------------------------------------------------------------------------


def test_the_chapters_batches(collection: Path, encoding: tiktoken.Encoding) -> None:
    splits = native_loop.split_messages(pd.read_csv(collection, sep="\t", header=None, names=["Label", "Text"]))
    loaders = native_loop.build_loaders(splits, encoding)
    assert {name: len(loader) for name, loader in loaders.items()} == {"train": 130, "validation": 19, "test": 38}
    for name, loader in loaders.items():
        batches = list(loader)
        assert all(ids.shape == (8, 120) and labels.shape == (8,) for ids, labels in batches[:-1])
        assert sum(len(labels) for _, labels in batches) == {"train": 1040, "validation": 149, "test": 300}[name]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(texts=st.lists(texts, min_size=1, max_size=5), max_length=st.none() | st.integers(1, 30))
def test_rows_are_texts_cut_or_padded(encoding: tiktoken.Encoding, texts: list[str], max_length: int | None) -> None:
    frame = pd.DataFrame({"Label": [0] * len(texts), "Text": texts})
    tokens = [encoding.encode(text, disallowed_special=()) for text in texts]
    width = max_length or max(map(len, tokens))
    dataset = native_loop.SpamDataset(frame, encoding, max_length)
    for number, row in enumerate(tokens):
        ids, label = dataset[number]
        assert ids.tolist() == (row + [PAD] * width)[:width]
        assert label == 0


def test_less_ham_than_spam() -> None:
    frame = pd.DataFrame({"Label": ["ham", "spam", "spam"], "Text": ["a", "b", "c"]})
    with pytest.raises(UserError, match="at least as many ham as spam, found 1 and 2"):
        native_loop.split_messages(frame)


# --- loss, accuracy, training -----------------------------------------------------------------------------------------


def loader(model: GPTModel, sizes: tuple[int, ...] = (3, 3, 2)) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randint(1000, (size, 7), generator=generator), torch.randint(2, (size,), generator=generator))
        for size in sizes
    ]


def test_loss_and_accuracy_of_the_first_batches(model: GPTModel) -> None:
    batches = loader(model)
    model.eval()
    with torch.no_grad():
        losses = [nn.functional.cross_entropy(model(ids)[:, -1], labels).item() for ids, labels in batches]
        right = [int((model(ids)[:, -1].argmax(1) == labels).sum()) for ids, labels in batches]
    for number, seen in ((1, 3), (2, 6), (3, 8), (99, 8), (None, 8)):
        batches_used = min(number or 3, 3)
        assert native_loop.loader_loss(model, batches, number) == sum(losses[:number]) / batches_used  # type: ignore[arg-type]
        assert native_loop.loader_accuracy(model, batches, number) == sum(right[:number]) / seen  # type: ignore[arg-type]
    assert math.isnan(native_loop.loader_loss(model, []))  # type: ignore[arg-type]
    assert math.isnan(native_loop.loader_accuracy(model, []))  # type: ignore[arg-type]


def test_the_head_is_drawn_right_after_seeding(model: GPTModel) -> None:
    torch.rand(5)
    native_loop.replace_head(model, num_labels=3, seed=7)
    torch.manual_seed(7)
    expected = nn.Linear(16, 3)
    assert torch.equal(model.out_head.weight, expected.weight)
    assert torch.equal(model.out_head.bias, expected.bias)


@pytest.mark.parametrize(("options", "steps"), [({"num_epochs": 2}, 6), ({"max_steps": 2}, 2), ({"max_steps": 4}, 4)])
def test_when_estimates_are_taken(model: GPTModel, options: dict[str, int], steps: int) -> None:
    """After step 0, then every `eval_freq`; accuracies at each epoch's end, a cut one's too."""
    lines: list[str] = []
    batches = loader(model)
    trained = freeze(model, "last_layer")
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    recorded, history = native_loop.train(
        model,
        batches,  # type: ignore[arg-type]
        batches,  # type: ignore[arg-type]
        torch.optim.AdamW(model.parameters(), lr=1e-2),
        eval_freq=3,
        eval_iter=2,
        log=lines.append,
        **options,  # type: ignore[arg-type]
    )
    assert len(recorded) == steps
    assert history.steps == [1, 4][: 1 + (steps > 3)]
    assert len(history.train_losses) == len(history.steps)
    assert len(history.train_accuracies) == 1 + (steps > 3)
    assert history.examples_seen == {2: 6, 4: 11, 6: 16}[steps]
    assert [line.split(":")[0] for line in lines if line.startswith("Ep")] == [
        "Ep 1 (Step 000000)",
        "Ep 2 (Step 000003)",
    ][: len(history.steps)]
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) is (name not in trained), name


# --- using the model --------------------------------------------------------------------------------------------------


def test_classify_pads_and_cuts(model: GPTModel, encoding: tiktoken.Encoding) -> None:
    """Read at the last position of the padded row, which is at most as long as the context (32)."""
    seen: list[Tensor] = []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    for max_length, expected in ((20, 20), (100, 32)):
        for text in ("Do you have time", "word " * 50):
            label = native_loop.classify(text, model, encoding, max_length)
            ids = (encoding.encode(text) + [PAD] * expected)[:expected]
            assert seen[-1].tolist() == [ids]
            assert label == ("spam" if model(torch.tensor([ids]))[0, -1].argmax() == 1 else "not spam")
    nn.init.constant_(model.out_head.weight, 0.0)
    for bias, label in (([1.0, 0.0], "not spam"), ([0.0, 1.0], "spam")):
        model.out_head.bias = nn.Parameter(torch.tensor(bias))
        assert native_loop.classify("text", model, encoding, 20) == label


def test_generation_reads_at_most_the_context(tiny_config: SpamGPTConfig) -> None:
    model = GPTModel(tiny_config)
    prompt = list(range(30))
    text = native_loop.generate(model, prompt, 6)
    assert len(text) == 36
    for end in range(30, 36):
        with torch.no_grad():
            assert text[end] == model(torch.tensor([text[max(0, end - 32) : end]]))[0, -1].argmax()


# --- files ------------------------------------------------------------------------------------------------------------


def test_state_saved_and_loaded(model: GPTModel, tmp_path: Path) -> None:
    native_loop.save_state(model, tmp_path / "review_classifier.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["review_classifier.pth"]
    other = GPTModel(model.config, num_labels=2)
    native_loop.load_state(other, tmp_path / "review_classifier.pth")
    ids = torch.arange(8)[None]
    assert torch.equal(other(ids), model(ids))


def test_the_books_own_file(model: GPTModel, tmp_path: Path) -> None:
    """The book's attention keeps its causal mask as a buffer, which its state dict holds; ours builds it."""
    state = model.state_dict() | {f"trf_blocks.{n}.att.mask": torch.ones(32, 32).triu(1) for n in range(2)}
    torch.save(state, tmp_path / "book.pth")
    classifier = SpamGPTForSequenceClassification(model.config)
    native_loop.load_state(classifier, tmp_path / "book.pth")
    ours = as_book(classifier).state_dict()
    assert all(torch.equal(tensor, ours[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(classifier.score.weight, model.out_head.weight)


def write_garbage(path: Path, model: GPTModel) -> None:
    path.write_bytes(b"not a checkpoint")


def write_another(path: Path, model: GPTModel) -> None:
    torch.save(GPTModel(model.config, num_labels=3).state_dict(), path)


def write_incomplete(path: Path, model: GPTModel) -> None:
    torch.save({name: tensor for name, tensor in model.state_dict().items() if name != "pos_emb.weight"}, path)


def write_list(path: Path, model: GPTModel) -> None:
    torch.save([1, 2], path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path, model: None, "No such file"),
        (write_garbage, "cannot be read as tensors"),
        (write_another, "size mismatch for out_head.weight"),
        (write_incomplete, 'Missing key.* "pos_emb.weight"'),
        (write_list, "expected tensors by their names, found a list"),
    ],
)
def test_files_that_are_no_state_dict(
    model: GPTModel, tmp_path: Path, write: Callable[[Path, GPTModel], None], message: str
) -> None:
    write(tmp_path / "review_classifier.pth", model)
    with pytest.raises(UserError, match=message):
        native_loop.load_state(model, tmp_path / "review_classifier.pth")


def test_nothing_half_written(model: GPTModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "review_classifier.pth"
    path.write_bytes(b"what was there")

    def full_disk(state: object, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        native_loop.save_state(model, path)
    assert path.read_bytes() == b"what was there"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


# --- the command ------------------------------------------------------------------------------------------------------


def chapters_lines(output: str) -> list[str]:
    """What both commands print: before training, the log, and after training."""
    return [line for line in output.splitlines() if line.startswith(("before ", "Ep ", "Training ", "after "))]


def assert_walks(output: str) -> None:
    """Every label of the table, in its order, and what a reader looks for under some of them."""
    labels = re.findall(r"((?:Listing|Figure|Exercise) 6\.\d+): ", output)
    assert sorted(labels) == sorted(BY_LABEL)
    assert [it for it in labels if it[0] == "L"] == [place.label for place in PLACES if place.label[0] == "L"]
    assert [it for it in labels if it[0] == "F"] == [place.label for place in PLACES if place.label[0] == "F"]
    for text in (
        "130 rows of a label and a text:",
        "of each label: ham 65 · spam 65",
        "shuffled and cut: train 91 · validation 13 · test 26",
        "<|endoftext|> is [50256]",
        "tokens in each row: train 60 · validation 60 · test 60",
        "one of them: ids [8, 60], classes [8]",
        "so nothing is generated",
        "(out_head): Linear(in_features=16, out_features=50257, bias=False)",
        "(out_head): Linear(in_features=16, out_features=2, bias=True)",
        "'Do you have time' → [5211, 345, 423, 640] → logits [4, 2]:",
        "drawn: loss-plot.pdf, loss-plot.png, accuracy-plot.pdf, accuracy-plot.png",
        "38 of 38 tensors are equal to the last bit",
    ):
        assert text in output, text
    read, scores = (
        re.search(pattern, output) for pattern in (r"(\S+) +(\S+)  ← read", r"ham (0\.\d+) · spam (0\.\d+)")
    )
    assert read
    assert scores
    logits = torch.tensor([float(number) for number in read.groups()])
    assert logits.softmax(dim=0).tolist() == pytest.approx([float(score) for score in scores.groups()], abs=2e-4)


@pytest.mark.parametrize("weights", [pytest.param("pretrained", marks=pytest.mark.slow), "random"])
def test_both_commands_print_the_same_log(
    run: Callable[..., tuple[int, str, str]], gpt2_folder: Path, few_messages: Path, tmp_path: Path, weights: str
) -> None:
    """`native` and `train --preset book`, each from the files on disk, or from the seed, on its own."""
    options = ["--data_file", few_messages, "--max_length", 60, "--trainable", "all", "--seed", 7]
    options += (
        ["--weights", gpt2_folder] if weights == "pretrained" else ["--weights", "random", "--model_size", "tiny"]
    )
    options += ["--max_steps", 14, "--eval_freq", 5, "--learning_rate", 1e-3, "--drop_rate", 0.1]
    aloud = weights == "random"  # which must not change what is drawn
    code, native, _ = run("native", *options, "--output_dir", tmp_path / "native", *(["--explain"] if aloud else []))
    assert code == 0
    code, trainer, _ = run("train", "--preset", "book", *options, "--output_dir", tmp_path / "trainer")
    assert code == 0
    log = chapters_lines(native)
    assert log == chapters_lines(trainer)
    assert [line.split()[0] for line in log] == [*["before"] * 2, *["Ep"] * 3, "Training", "Training", "after"]
    assert len(set(log)) >= 7  # it learns
    assert log[0].startswith("before training, 10 batches: train accuracy ")
    if aloud:
        assert_walks(native)
    else:
        assert len(native.splitlines()) == len(log) + 7
        assert "batches: 11 train, 2 validation, 4 test; each [8, 60]" in native
        assert native.count("generated: ") == 2
        zero_shot = f"Is the following text 'spam'? Answer with 'yes' or 'no': '{EXAMPLES[0]}'"
        assert zero_shot in native.replace("\\'", "'")  # escaped where random weights write a double quote
    assert {path.name for path in (tmp_path / "native").iterdir()} == {
        "manifest.json",
        "review_classifier.pth",
        *(f"{label}-plot.{suffix}" for label in ("loss", "accuracy") for suffix in ("pdf", "png")),
    }
    ours = SpamGPTForSequenceClassification.from_pretrained(tmp_path / "trainer")
    native_loop.load_state(ours, tmp_path / "native" / "review_classifier.pth")
    trained = SpamGPTForSequenceClassification.from_pretrained(tmp_path / "trainer")
    for (name, one), other in zip(ours.named_parameters(), trained.parameters(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--pooling", "last_token"], "the chapter's program has no --pooling. Use hf-spam train, which has."),
        (["--balance", "false", "--data_dir", "x"], "has no --data_dir, --balance"),
        (["--eval_iter", "0"], "--eval_iter: expected a whole number from 1 to 1,000,000,000, found 0"),
        (["--per_device_train_batch_size", "899", "--data_source", "sample"], "batch of 899 messages, found 898"),
        (["--data_source", "sample", "--model_size", "tiny", "--context_length", "64"], "context of 64 tokens, found"),
    ],
)
def test_native_says_what_is_wrong(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, argv: list[str], message: str
) -> None:
    code, _, error = run("native", "--weights", "random", *argv, "--output_dir", tmp_path / "run")
    assert code == 2
    assert message in error
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["auto", "off"])
def test_both_commands_agree_for_an_epoch(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, cache: str
) -> None:
    """From random weights on the whole sample, by the chapter's recipe but for the rate; with the prefix cache, too."""
    options = ["--data_source", "sample", "--weights", "random", "--model_size", "tiny", "--num_train_epochs", 1]
    options += ["--max_length", 120, "--learning_rate", 1e-3]
    code, native, _ = run("native", *options, "--output_dir", tmp_path / "native")
    assert code == 0
    options += ["--prefix_cache", cache, "--output_dir", tmp_path / "trainer"]
    code, trainer, _ = run("train", "--preset", "book", *options)
    assert code == 0
    assert chapters_lines(native) == chapters_lines(trainer)
    assert len(chapters_lines(native)) == 2 + 3 + 1 + 1  # steps 0, 50 and 100 of 112
