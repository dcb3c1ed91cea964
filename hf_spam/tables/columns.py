"""What a reader of one format gives, and which columns hold texts and labels: named by the user, or recognised."""

import re
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ..errors import UserError

# By these names a column is recognised, in any case and with any of " -_/." between the words. Earlier groups win.
_TEXT = (
    "texts sms message messages msg v2 body content contents comment comments comment_text review reviews review_text "
    "sentence tweet tweets tweet_text email email_text mail post document description utterance message_text "
    "message_body sms_text full_text clean_text text_content sentence1 input"
)
_LABEL = (
    "labels category categories class classes v1 target targets sentiment is_spam isspam spam spam_ham ham_spam type "
    "label_text label_name intent y classification email_type text_type class_index airline_sentiment"
)
TEXT_NAMES = ({"text"}, set(_TEXT.split()), {"subject", "title", "headline"})
LABEL_NAMES = ({"label"}, set(_LABEL.split()))
# Values that are labels, never names of columns; `spam` is both.
_WORDS = "ham spam 0 1 pos neg positive negative neutral smishing phishing legit normal true false"
LABEL_WORDS = set(_WORDS.split())
_MOST_NAMES = 10  # in a message


Row = Mapping[str, object]
Rows = Iterator[tuple[int, Row]]


@dataclass(frozen=True)
class Wanted:
    """What is looked for in a file.

    Attributes:
        text_column: The name that the user gave for the texts, several separated by commas, if any.
        label_column: The same for the labels.
        needs_label: Whether a file without labels is refused.
    """

    text_column: str | None = None
    label_column: str | None = None
    needs_label: bool = True

    @property
    def names(self) -> list[str]:
        """The names that the user gave."""
        given = (self.text_column, self.label_column)
        return [part.strip() for name in given if name for part in name.split(",")]


@dataclass(frozen=True)
class Part:
    """The rows of one file.

    Attributes:
        name: What messages call it.
        columns: All columns in order.
        texts: The columns of the texts.
        labels: The columns of the labels.
        notes: What was recognised, a line each.
        classes: The names of the labels of a column, in the order of their ids, where the file records them.
        rows: Yields the number of each row, from 1, and its values by column, as they are in the file.
        remarks: What was seen in the rows, once they are read, a line each.
    """

    name: str
    columns: list[str]
    texts: list[str]
    labels: list[str]
    notes: list[str]
    classes: dict[str, list[str]]
    rows: Callable[[], Rows]
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Chosen:
    """The columns of the texts, which are joined by newlines, and of the labels; several for multi-label."""

    texts: list[str]
    labels: list[str]


@lru_cache(maxsize=2**12)
def normalise(name: str) -> str:
    """Return a name in lower case with one underscore between its words."""
    return re.sub(r"[\s\-_/.]+", "_", name.strip().lower()).strip("_")


def recognise(columns: Sequence[str], groups: Sequence[set[str]]) -> list[str]:
    """Return the columns that have a name of the first group of which any has."""
    for group in groups:
        if found := [name for name in columns if normalise(name) in group]:
            return found
    return []


def choose_columns(
    columns: Sequence[str], text_column: str | None, label_column: str | None, needs_label: bool, file: object
) -> Chosen:
    """Return which columns hold texts and labels.

    Args:
        columns: The columns that there are.
        text_column: The name that the user gave, several separated by commas, or `None`.
        label_column: The same for labels.
        needs_label: Whether a file without labels is refused.
        file: The name of the file, for messages.

    Raises:
        UserError: If a column is not found or several could be meant. All that is missing is named at once.
    """
    texts = _given(columns, text_column) if text_column else recognise(columns, TEXT_NAMES)
    labels = _given(columns, label_column) if label_column else recognise(columns, LABEL_NAMES)
    if not label_column:
        labels = [name for name in labels or [] if name not in (texts or [])]
    wrong, remedies = [], []
    if texts is None or not texts or (not text_column and len(texts) > 1):
        wrong.append(f"a column {text_column!r}" if text_column else _wanted("a column of texts", texts))
        remedies.append("--text_column")
    if label_column or needs_label:
        if labels is None or not labels or (not label_column and len(labels) > 1):
            of_labels = "one of labels" if wrong else "a column of labels"
            wrong.append(f"a column {label_column!r}" if label_column else _wanted(of_labels, labels))
            remedies.append("--label_column")
    elif labels is None or len(labels) > 1:
        labels = []
    if wrong:
        names = " and ".join(remedies)
        raise UserError(
            f"{file}: expected {' and '.join(wrong)}, found columns: {list_names(columns)}. "
            f"Name {'it' if len(remedies) == 1 else 'them'} with {names}."
        )
    return Chosen(texts or [], labels or [])


def _wanted(what: str, found: Sequence[str] | None) -> str:
    return f"{what} (which of {list_names(found)}?)" if found else what


def _given(columns: Sequence[str], given: str) -> list[str] | None:
    """Return the columns of a name, or of several separated by commas; `None` if one is missing."""
    if (one := _find(columns, given)) is not None:
        return [one]
    found = [_find(columns, part) for part in given.split(",")]
    names = [name for name in found if name is not None]
    return names if len(names) == len(found) and len(set(names)) == len(names) else None


def _find(columns: Sequence[str], name: str) -> str | None:
    """Return the column of a name: exactly, else in any case, else by its number from 1."""
    for same in (lambda column: column == name, lambda column: column.strip().lower() == name.strip().lower()):
        found = [column for column in columns if same(column)]
        if len(found) == 1:
            return found[0]
        if found:
            return None
    number = name.strip()
    if number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= len(columns):
        return columns[int(number) - 1]
    return None


def unique_names(names: Sequence[str]) -> list[str]:
    """Return names for columns of which some have none or the same: `Unnamed: 0` as in pandas, `id`, `id (2)`."""
    found: list[str] = []
    taken: set[str] = set()
    counts: dict[str, int] = {}
    for position, given in enumerate(names):
        base = name = given if given.strip() else f"Unnamed: {position}"
        while name in taken:
            counts[base] = counts.get(base, 1) + 1
            name = f"{base} ({counts[base]})"
        taken.add(name)
        found.append(name)
    return found


def list_names(names: Sequence[str]) -> str:
    """Return the first ten names, and how many more there are, for messages."""
    shown = ", ".join(name if len(name) <= 50 else f"{name[:50]}…" for name in names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return f"{shown}{more}" if names else "none"


def list_rows(rows: Sequence[int]) -> str:
    """Return the numbers of the first rows, and how many there are, for messages."""
    shown = ", ".join(map(str, rows[:5])) + (", …" if len(rows) > 5 else "")
    return f"{'row' if len(rows) == 1 else f'{len(rows):,} rows:'} {shown}"


def replace_lone_surrogates(text: str) -> str:
    """Replace lone surrogates by U+FFFD, as tiktoken does. UTF-8 has none, and the fast tokenizer would raise."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def show(value: object) -> str:
    """Return a value from a file, at most a few words of it, for messages."""
    return repr(value[:40]) if isinstance(value, str) else reprlib.repr(value)
