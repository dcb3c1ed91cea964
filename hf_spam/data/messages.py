"""Rows of tables as labelled messages: every row is used, or all are refused, and the refusal names the row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import pandas as pd

from ..errors import UserError
from ..tables.columns import list_rows, replace_lone_surrogates, show
from ..tables.table import Table
from .label_reading import read_labels
from .labels import Label, LabelRules, Task


@dataclass(frozen=True)
class Messages:
    """Labelled messages.

    Attributes:
        frame: Columns `Label` and `Text`.
        task: What the labels are.
        notes: What was recognised and how many rows were read, a line each.
    """

    frame: pd.DataFrame
    task: Task
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Labelled:
    """The rows of one file before it is known what their labels mean.

    Attributes:
        place: The file, for messages.
        texts: A text for each row.
        labels: What stands for the label of each row; a name where the file has names for its ids.
    """

    place: str
    texts: list[str]
    labels: list[object]


def read_messages(tables: Mapping[str, Table], rules: LabelRules | None = None) -> dict[str, Messages]:
    """Read the rows of tables, whose labels are decided together.

    Args:
        tables: By the names of their splits.
        rules: What is known of the labels beside what the tables record.

    Raises:
        UserError: If a table has no rows, or a row is not a labelled text.
    """
    first = next(iter(tables.values()))
    rules = (rules or LabelRules()).with_names(first.label_names or _several(first))
    found = {name: list(_read(table)) for name, table in tables.items()}
    parts = [part for each in found.values() for part in each]
    labels, task = _decide(parts, first, rules)
    rest = iter(labels)
    noted: set[str] = set()
    messages = {}
    for name, table in tables.items():
        texts = [text for part in found[name] for text in part.texts]
        frame = pd.DataFrame({"Label": list(islice(rest, len(texts))), "Text": texts})
        notes = [note for note in table.notes if note not in noted]  # the splits of a set mostly have the same
        noted.update(notes)
        said = "; ".join([f"{len(texts):,} rows", *notes])
        messages[name] = Messages(frame, task, [f"{table.name}: {said}", *table.remarks])
    return messages


def join_messages(messages: Mapping[str, Messages]) -> Messages:
    """Return the messages of all splits."""
    every = list(messages.values())
    frame = every[0].frame if len(every) == 1 else pd.concat([each.frame for each in every], ignore_index=True)
    return replace(every[0], frame=frame, notes=[note for each in every for note in each.notes])


def check_texts(texts: Sequence[object], name: object) -> list[str]:
    """Return the texts of rows, with U+FFFD for lone surrogates as the tokenizer reads them.

    Raises:
        UserError: If a row has no text.
    """
    bad = [row for row, text in enumerate(texts, start=1) if not isinstance(text, str) or not text.strip()]
    if bad:
        raise UserError(f"{name}: expected a text in every row, found none in {list_rows(bad)}. Fill or remove them.")
    return [replace_lone_surrogates(str(text)) for text in texts]


def _several(table: Table) -> list[str] | None:
    return table.label_columns if len(table.label_columns) > 1 else None


def _read(table: Table) -> Iterator[Labelled]:
    """Yield the rows of each file of a table."""
    raw: dict[str, tuple[list[object], list[object]]] = {}
    for place, row in table.rows():
        texts, labels = raw.setdefault(place.file, ([], []))
        single = len(table.text_columns) == 1
        texts.append(row.get(table.text_columns[0]) if single else table.text(place, row))
        one_each = len(table.label_columns) > 1  # a column for each label
        labels.append({name: row.get(name) for name in table.label_columns} if one_each else table.label(row))
    if not raw:
        raise UserError(f"{table.name}: expected messages, found no rows.")
    for file, (texts, labels) in raw.items():
        named = labels if table.label_names is None else _by_name(labels, table.label_names, file)
        yield Labelled(file, check_texts(texts, file), named)


def _by_name(labels: list[object], names: list[str], place: object) -> list[object]:
    """Replace ids by their names."""
    known: dict[object, str] = dict(enumerate(names))
    named: list[object] = []
    bad = []
    for row, label in enumerate(labels, 1):
        single = label if isinstance(label, list) else [label]
        found = [one if isinstance(one, str) else known.get(one) if type(one) is int else None for one in single]
        if None in found:
            bad.append(row)
        named.append(found if isinstance(label, list) else found[0])
    if bad:
        raise UserError(
            f"{place}: expected a label from 0 to {len(names) - 1} in every row, found {show(labels[bad[0] - 1])} in "
            f"{list_rows(bad)}. Remove rows that have none."
        )
    return named


def _decide(parts: Sequence[Labelled], table: Table, rules: LabelRules) -> tuple[list[Label], Task]:
    column = table.label_columns[0] if len(table.label_columns) == 1 else ""
    try:
        return read_labels([label for part in parts for label in part.labels], table.name, rules, column)
    except UserError as error:
        kind = _kind(error)
        for part in parts[: len(parts) if len(parts) > 1 else 0]:
            try:
                read_labels(part.labels, part.place, rules, column)
            except UserError as own:  # its rows are counted in its file
                if _kind(own) == kind:
                    raise own from None
        raise


def _kind(error: UserError) -> str:
    """Return what was expected, by which a refusal of all files is found again in one of them."""
    return str(error).rpartition(": expected ")[2].split(", found", 1)[0]
