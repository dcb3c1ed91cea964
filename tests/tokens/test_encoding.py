"""Very long texts: cut before they are encoded whole, and nobody can tell.   pytest tests/tokens/test_encoding.py"""

import copy
import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing
from transformers import AddedToken, GPT2Tokenizer

from hf_spam.checkpoint.tokenizer import read_encoder, read_tokenizer
from hf_spam.model.fields_spam_gpt import SpamGPTFields
from hf_spam.tokens.encoding import begin, encode, special_counts, truncate
from hf_spam.tokens.normalization import normalize_before
from hf_spam.tokens.tokenization import build_tokenizer, load_bpe

words = st.sampled_from(
    ["word", "it's", "I'LL", " ", "  ", "\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2028", "\x1c", "\x85", "\u180e", "\u200b",
     "!!!", "£1", "12", "你好", "\ud800", "\ud83d\ude00", "<|endoftext|>", "-" * 130, " " * 70, "é", "_", ".", "\ufeff", "½", "a1", "7Z", "'s5", "٣x"]
)  # fmt: skip
texts = st.lists(words | st.text(max_size=5), min_size=1, max_size=12).map("".join)


@settings(max_examples=60)
@given(text=texts, length=st.integers(1, 3), times=st.integers(1, 60))
def test_the_first_tokens_of_the_whole(tokenizer: GPT2Tokenizer, text: str, length: int, times: int) -> None:
    text = text * times
    (whole,), (beginning,) = encode(tokenizer, [text]), encode(tokenizer, [text], length)
    assert beginning[:length] == whole[:length]
    assert (len(beginning) > length) == (len(whole) > length)  # the warning counts the same


def test_added_tokens_turn_the_shortcut_off(tokenizer: GPT2Tokenizer) -> None:
    """They may reach across the end of a word, and take in any number of spaces."""
    text = "word " * 3000
    assert len(begin(tokenizer, text, 5)) < 1000
    added = copy.deepcopy(tokenizer)
    added.add_tokens([AddedToken("word word", rstrip=True)])
    assert begin(added, text, 5) == text
    assert encode(added, [text], 5) == encode(added, [text])
    shown = copy.deepcopy(tokenizer)
    shown.split_special_tokens = False
    assert begin(shown, text, 5) == text


def test_special_tokens_around_a_text_are_kept(tokenizer: GPT2Tokenizer) -> None:
    """A text that is cut has the ids that transformers gives it."""
    own = copy.deepcopy(tokenizer)
    names = {"single": "<|endoftext|> $A ! !", "special_tokens": [("<|endoftext|>", 50256), ("!", 0)]}
    own.backend_tokenizer.post_processor = TemplateProcessing(pair="$A $B", **names)
    before, after = special_counts(own)
    assert (before, after) == (1, 2)
    for length in (3, 4, 10, 100):
        (ids,) = truncate(encode(own, ["a b c d e f g"]), length, after)
        assert ids == own("a b c d e f g", truncation=True, max_length=length)["input_ids"]
    assert special_counts(tokenizer) == (0, 0)


@pytest.mark.parametrize("words", ["Win a prize, call now! ", "aGVsbG8+d29ybGQ/IHNw"], ids=["words", "base64"])
def test_ten_megabytes(tokenizer: GPT2Tokenizer, words: str) -> None:
    text = words * (10_000_000 // len(words))
    assert len(begin(tokenizer, text, 1024)) < 140_000
    start = time.process_time()
    (ids,) = encode(tokenizer, [text], 1024)
    assert time.process_time() - start < 2
    assert ids[:1024] == encode(tokenizer, [text[:20_000]])[0][:1024]


@pytest.mark.parametrize("text", ["a" * 3000, "!" * 3000, " " * 3000, "你好" * 2000])
def test_no_word_ends(tokenizer: GPT2Tokenizer, text: str) -> None:
    assert begin(tokenizer, text, 5) == text


def test_an_encoder_gives_transformers_ids(tokenizer: GPT2Tokenizer, tmp_path: Path) -> None:
    """As a folder's tokenizer is read without transformers; where that is not simple, with it."""
    kinds = {
        "gpt2": tokenizer,
        "unicode": normalize_before(tokenizer, "unicode"),
        "all": normalize_before(tokenizer, "all"),
    }
    kinds["one more"] = build_tokenizer(max_length=64)
    kinds["one more"].add_tokens(["[URL]"])
    kinds["spaced"] = GPT2Tokenizer(*load_bpe(), add_prefix_space=True, model_max_length=64)
    kinds["begun"] = GPT2Tokenizer(*load_bpe(), add_bos_token=True, model_max_length=64)
    texts = [
        "",
        " ",
        "WIN £1000 [URL] now",
        "<|endoftext|>",
        "a<|endoftext|>b",
        "\u200bfree\u200b",
        "F R E E",
        "東京🎉",
    ]
    for name, theirs in kinds.items():
        theirs.save_pretrained(tmp_path / name)
        if name == "begun":  # transformers' own file has it in the post-processor alone
            path = tmp_path / name / "tokenizer_config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"add_bos_token": True}))
        config = SpamGPTFields(vocab_size=50300, pad_token_id=theirs.pad_token_id)
        encoder, whole = read_encoder(tmp_path / name, config), read_tokenizer(tmp_path / name, config)
        assert encode(encoder, texts) == whole(texts)["input_ids"] == encode(whole, texts), name
        assert special_counts(encoder) == special_counts(whole), name
        assert encoder.model_max_length == whole.model_max_length, name
        assert type(encoder.tokenizer) is type(whole), name
        long = "so free " * 5000
        assert begin(encoder, long, 5) == begin(whole, long, 5), name
