"""Very long texts: cut before they are encoded whole, and nobody can tell.   pytest tests/data/test_encoding.py"""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Tokenizer

from hf_spam.data.encoding import begin, encode

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
