"""A normaliser that undoes disguises before a text is divided into tokens.

It is a part of the tokenizer, in `tokenizer.json`, so it travels to `AutoTokenizer`, `pipeline()` and every export.
"""

import json
from functools import cache
from typing import TYPE_CHECKING, Literal

from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import NFKC, Normalizer, Replace, Sequence

from ..errors import UserError
from .look_alikes import LOOK_ALIKES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Normalization = Literal["none", "unicode", "all"]

# Format characters, among them all of no width and soft hyphens; letters that are blank; selectors of variants.
_UNSEEN = "[\\p{Cf}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufe00-\ufe0f]"

# A character by itself, on either side of a place; and two by themselves with a space between them. Oniguruma and
# JavaScript read these alike, and each looks at four characters at most: no text takes more than linear time.
_ONE_BEFORE, _ONE_AFTER = r"(?<=\S)(?<!\S\S)", r"(?=\S(?!\S))"
_TWO_BEFORE, _TWO_AFTER = r"(?<=\S \S)(?<!\S\S \S)", r"(?=\S \S(?!\S))"
_GAP = "\u2003"  # NFKC leaves none of these, so it can stand for a gap between words whose letters are spaced
_INSIDE = "|".join(
    [
        f"{_TWO_BEFORE} {_ONE_AFTER}",
        f"{_ONE_BEFORE} {_TWO_AFTER}",
        f"(?<={_GAP}\\S) {_ONE_AFTER}",  # a word of two letters, beside such a gap
        f"{_ONE_BEFORE} (?=\\S{_GAP})",
    ]
)


def build_normalizer(kind: Normalization) -> Normalizer | None:
    """Return the steps of a normaliser; `None` for `none`.

    Args:
        kind: `unicode`: remove what nobody sees, NFKC, Latin letters for their look-alikes. `all`: then also join
            three or more single characters with a space between each (`F R E E` → `FREE`).
    """
    if kind == "none":
        return None
    steps = [Replace(Regex(_UNSEEN), ""), NFKC()]
    # A step for each character: replacing a string takes a tenth of the time of a regular expression.
    steps += [Replace(other, letter) for letter, both in LOOK_ALIKES.items() for other in "".join(both)]
    if kind == "all":
        steps += [
            Replace(Regex(f"{_ONE_BEFORE} {{2,}}{_ONE_AFTER}"), _GAP),
            Replace(Regex(_INSIDE), ""),
            Replace(_GAP, " "),
        ]
    return Sequence(steps)


def normalize_before(tokenizer: "PreTrainedTokenizerFast", kind: Normalization) -> "PreTrainedTokenizerFast":
    """Return a tokenizer that normalises a text first; the same tokenizer for `none`.

    The result is of transformers' general class: its `GPT2Tokenizer` keeps vocabulary and merges alone when it loads.

    Raises:
        UserError: If the tokenizer has another normaliser.
    """
    normalizer, own = build_normalizer(kind), tokenizer.backend_tokenizer.normalizer
    if normalizer is None or (own is not None and own.__getstate__() == normalizer.__getstate__()):
        return tokenizer
    if own is not None:
        raise UserError(
            f"--normalize {kind}: expected weights whose tokenizer does not normalise, found one that does. Leave it "
            f"out: the tokenizer goes on as it is."
        )
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.normalizer = normalizer
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        split_special_tokens=tokenizer.split_special_tokens,
        model_input_names=["input_ids", "attention_mask"],
        **{
            name: token
            for name in ("bos_token", "eos_token", "unk_token", "pad_token")
            if (token := getattr(tokenizer, name)) is not None
        },
    )


def find_our_normalizer(backend: Tokenizer) -> Normalizer | None:
    """Return the normaliser of a tokenizer that is GPT-2's after one of ours; `None` if it is any other."""
    if backend.normalizer is None:
        return None
    words = json.loads(backend.pre_tokenizer.__getstate__()) if backend.pre_tokenizer is not None else {}
    plain = words.get("type") == "ByteLevel" and words.get("use_regex", True) and isinstance(backend.model, BPE)
    return backend.normalizer if plain and backend.normalizer.__getstate__() in _our_states() else None


@cache
def _our_states() -> frozenset[bytes]:
    found = (build_normalizer(kind) for kind in ("unicode", "all"))
    return frozenset(each.__getstate__() for each in found if each is not None)
