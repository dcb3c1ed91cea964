"""The page's tokenizer in JavaScript gives the library's ids, whatever the text, the normaliser and Unicode's version.

pytest tests/tokens/test_browser.py (needs Node.js)
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from support.node import Node
from support.places import ROOT
from transformers import GPT2Tokenizer, PreTrainedTokenizerFast

from hf_spam import UserError
from hf_spam.conversion.browser import describe_for_browser
from hf_spam.data.sources import read_file
from hf_spam.tokens.encoding import encode
from hf_spam.tokens.normalization import normalize_before
from hf_spam.tokens.tokenization import build_tokenizer

SCRIPT = ROOT / "hf_spam" / "conversion" / "web" / "page-bpe.js"


class Both:
    """A tokenizer of the library and its description in Node.js."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.node = Node(SCRIPT)
        self.node.call("make", "Tokenizer", describe_for_browser(tokenizer))

    def differing(self, texts: list[str], most: int | None = None) -> list[str]:
        """Return the texts whose ids are not the same in both."""
        given = [[text] if most is None else [text, most] for text in texts]
        found = self.node.call("call", "encode", given)
        expected = [ids[:most] for ids in encode(self.tokenizer, texts, most)]
        return [text for text, here, there in zip(texts, expected, found, strict=True) if here != there]


@pytest.fixture(scope="module", params=["none", pytest.param("unicode", marks=pytest.mark.slow), "all"])
def both(request: pytest.FixtureRequest, tokenizer: GPT2Tokenizer) -> Iterator[Both]:
    """Without a normaliser and with each of ours."""
    made = Both(normalize_before(tokenizer, request.param))
    yield made
    made.node.close()


def test_every_real_message(both: Both, collection: Path) -> None:
    texts = read_file(collection)["Text"].tolist()
    assert len(texts) == 5572
    assert both.differing(texts) == []


# What the two sides could see differently: white space of one and not of the other, marks, jamo, ligatures, letters and
# digits beyond the first plane, characters that newer versions of Unicode assigned, invisible ones, contractions.
ODD = [
    *" \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u1680\u180e\u2003\u2028\u200b\u200d\ufeff\u3000",
    *"aZéßıſ0²½Ⅷ٣'\u2019-_.😀🏽\U0001d400\U0001d7ce\U00020000\U000e0041",
    *"\u0301\u0323\u0334\u0345\u1100\u1161\u11a8\uac00ﬁ㎏Å\u1e9b\u212b\ufdfaаοе\u1c89\u1c8a\ua7cb\U00010d6f\U0001e5ee\U000116d0",
    *"\ud800\udfff",
    *"\u0898\u1ac0\u08ca",  # marks that the library does not know
    *["\ud83d\u200d\ude00", "\r\n", "'s", "'ll", "'S", " a", "  ", "F R E E", " a b", "<|endoftext|>"],
]
TEXTS = st.lists(
    st.one_of(
        st.text(st.characters(), max_size=60),
        st.lists(st.sampled_from(ODD), max_size=40).map("".join),
        st.text("ab 1'", max_size=90),
    ),
    min_size=1,
    max_size=40,
)


@given(TEXTS)
def test_any_texts(both: Both, texts: list[str]) -> None:
    assert both.differing(texts) == []


@given(TEXTS, st.integers(1, 40))
def test_any_texts_truncated(both: Both, texts: list[str], most: int) -> None:
    assert both.differing(texts, most) == []


def test_pairs_of_odd_characters(both: Both) -> None:
    assert both.differing([f"e{one}{other}" for one in ODD for other in ODD]) == []


def test_words_without_an_end(both: Both) -> None:
    """In seconds: merging is not quadratic. A run of letters, spaces and apostrophes; letters at random."""
    random.seed(0)
    scrambled = "".join(random.choices("etaoinshrdlu", k=50_000))
    texts = ["x" * 50_000, " " * 50_000, "'" * 50_000, "F R E E " * 20_000, scrambled, "\u0301" * 2_000]
    assert both.differing(texts, 256) == []
    assert both.differing([scrambled]) == []


@pytest.mark.slow
def test_every_character(both: Both) -> None:
    """Side by side, and each between a letter and a mark."""
    characters = [chr(number) for number in range(0x110000) if not 0xD800 <= number < 0xE000]
    for joint in ("", " a\u0301"):
        texts = [joint.join(characters[start : start + 512]) for start in range(0, len(characters), 512)]
        assert both.differing(texts) == []


def with_tokens(*tokens: str | tokenizers.AddedToken, special: bool = False) -> GPT2Tokenizer:
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(list(tokens), special_tokens=special)
    return tokenizer


ADDED = {
    "plain": (with_tokens, ["[URL]", "[URL", "a.b", "|endoftext|", "(x)"]),
    "raw": (with_tokens, [tokenizers.AddedToken("[URL]", normalized=False), "[ＵＲＬ]"]),
}


@pytest.mark.parametrize("kind", ["none", "all"])
@pytest.mark.parametrize("name", ADDED)
def test_added_tokens(name: str, kind: Any) -> None:
    build, tokens = ADDED[name]
    tokenizer: Any = build(*tokens)
    tokenizer = normalize_before(tokenizer, kind)
    made = Both(tokenizer)
    parts = [*map(str, tokens), "<|endoftext|>", " ", "[", "x", "a", ".", "|", "Ｕ"]
    random.seed(0)
    texts = ["".join(random.choices(parts, k=12)) for _ in range(300)]
    assert made.differing(texts) == []
    assert any(len(tokenizer) - 1 in row for row in encode(tokenizer, texts))  # they do occur
    made.node.close()


def test_special_tokens_that_count() -> None:
    """Where special tokens are tokens inside a message, they are so in both."""
    tokenizer = with_tokens("<url>", special=True)
    tokenizer.split_special_tokens = False
    made = Both(tokenizer)
    assert made.differing(["see <url> <|endoftext|>now", "<url><url>", "< url>"]) == []
    assert made.node.call("call", "encode", [["<url>"]]) == [[50257]]
    made.node.close()


def test_a_space_before_every_text(tokenizer: GPT2Tokenizer) -> None:
    spaced = build_tokenizer()
    spaced.backend_tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    made = Both(spaced)
    assert made.differing(["a", " a", "", "\na", "'s"]) == []
    assert made.node.call("call", "encode", [["a"]]) == [encode(tokenizer, [" a"])[0]]
    made.node.close()


def changed(change: Callable[[Any], None]) -> PreTrainedTokenizerFast:
    backend = tokenizers.Tokenizer.from_str(build_tokenizer().backend_tokenizer.to_str())
    change(backend)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")


def set_part(name: str, part: object) -> Callable[[Any], None]:
    return lambda backend: setattr(backend, name, part)


TEMPLATE = tokenizers.processors.TemplateProcessing("$A <|endoftext|>", special_tokens=[("<|endoftext|>", 50256)])
REFUSED = {
    "words": (
        set_part("model", tokenizers.models.WordLevel({"a": 0, "[UNK]": 1}, "[UNK]")),
        "found WordLevel after ByteLevel",
    ),
    "whitespace": (set_part("pre_tokenizer", tokenizers.pre_tokenizers.Whitespace()), "found BPE after Whitespace"),
    "end token": (set_part("post_processor", TEMPLATE), "without special tokens around a text"),
    "normalizer": (
        set_part("normalizer", tokenizers.normalizers.Lowercase()),
        "or with one of --normalize, found Lowercase",
    ),
    "stripping": (
        lambda backend: backend.add_tokens([tokenizers.AddedToken("[X]", lstrip=True)]),
        r"found '\[X\]' with single_word, lstrip or rstrip",
    ),
    "bytes": (set_part("model", tokenizers.models.BPE({"a": 0}, [])), "a token for each of the 256 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_page_cannot_do_is_refused(name: str) -> None:
    change, message = REFUSED[name]
    with pytest.raises(UserError, match=f"{message}.*--format onnx"):
        describe_for_browser(changed(change))
