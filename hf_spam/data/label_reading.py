"""What the labels in a file mean: texts, numbers or truth values to the names of a task, or a refusal by row."""

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Integral, Real

from ..errors import UserError
from ..tables.columns import list_names, list_rows, show
from .labels import (
    HAM_SPAM,
    MOST_LABELS,
    MULTI,
    REGRESSION,
    SCORE,
    SHORT_HAM_SPAM,
    SINGLE,
    Label,
    LabelRules,
    Task,
    check_names,
)

# Columns in which 0 and 1 are ham and spam, as in the chapter's own files. In others they are what they say.
_NEUTRAL_COLUMNS = {"", "label", "labels", "class", "category", "target", "type", "y", "v1", "spam", "is_spam"}
_WHOLE = re.compile(r"[+-]?\d+\.0+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?")
_REMEDY = 'Name the labels with --labels a,b, or rename them with --label_map "OLD=NEW".'


def read_labels(
    raw: Sequence[object], place: object, rules: LabelRules | None = None, column: str = "label"
) -> tuple[list[Label], Task]:
    """Decide what the labels of a file mean.

    Args:
        raw: What stands in each row: a text, a whole number or a truth value; a list of these, or a mapping of names
            to truth values, where a row may have several labels; a number with regression.
        place: The file's name, for messages.
        rules: What the user, the file or the model says of them.
        column: The column's name.

    Returns:
        The label of each row, and the task. The names are those of the rules, else ham and spam, else sorted.

    Raises:
        UserError: If a row has no label or one that the rules do not know, or there are too many.
    """
    rules = rules or LabelRules()
    if rules.problem_type == REGRESSION:
        return list(_numbers(raw, place)), Task((SCORE,), REGRESSION, rules.positive)
    several = rules.problem_type == MULTI or any(isinstance(value, list | tuple | Mapping) for value in raw)
    if several and rules.problem_type == SINGLE:
        raise UserError(
            f"{place}: expected one label in every row, found several. Use --problem_type multi_label_classification."
        )
    rows = [_several(value, place) if several else [value] for value in raw]
    keys = _as_keys(rows, place, empty=several)
    keys = _rename(keys, rules.renamed, place)
    found = Counter(key for row in keys for key in row)
    if rules.names is None and not several and not rules.renamed and column.strip().lower() in _NEUTRAL_COLUMNS:
        names, means = _ham_spam(found)
    else:
        names, means = (), {}
    names = rules.names or names or _sort(found, place, len(raw))
    means = means or _match(found, names, place, keys)
    labels = [[means[key] for key in row] for row in keys]
    task = Task(names, MULTI if several else SINGLE, rules.positive)
    return [list(dict.fromkeys(row)) if several else row[0] for row in labels], task


def require_variety(labels: Sequence[Label], task: Task, place: object) -> None:
    """Check that there is something to tell apart.

    Raises:
        UserError: If all messages have the same label, or there are none.
    """
    if task.problem_type == MULTI or (labels and task.problem_type == REGRESSION):
        if not labels:
            raise UserError(f"{place}: expected messages, found no rows.")
        return
    found = Counter(map(str, labels))
    if len(found) < 2:
        only = f"only {next(iter(found))!r} ({len(labels):,} rows)" if labels else "no rows"
        wanted = "both ham and spam messages" if task.is_spam or len(task.names) < 2 else "messages of two labels"
        raise UserError(f"{place}: expected {wanted}, found {only}.")


# --- what stands in a row --------------------------------------------------------------------------------------------


def _as_keys(rows: Sequence[Sequence[object]], place: object, empty: bool) -> list[list[str]]:
    """Return every label as text: 1, 1.0 and "1" are the same.

    Raises:
        UserError: If a row has none, or one that is no text, whole number or truth value.
    """
    keys = [[_key(value) for value in row] for row in rows]
    bad = [number for number, row in enumerate(keys, 1) if None in row or not (row or empty)]
    if bad:
        shown = ", ".join(
            dict.fromkeys(show(value) for row in bad[:5] for value in rows[row - 1] if _key(value) is None)
        )
        numbers = any(isinstance(value, Real) and not math.isnan(value) for row in bad for value in rows[row - 1])
        remedy = "For numbers to be predicted: --problem_type regression." if numbers else "Fill or remove them."
        raise UserError(
            f"{place}: expected a label in every row, found {shown or 'none'} in {list_rows(bad)}. {remedy}"
        )
    texts: list[list[str]] = keys  # type: ignore[assignment]
    if all(_WHOLE.fullmatch(key) for row in texts for key in row):  # pandas writes whole numbers so beside a gap
        return [[str(int(float(key))) for key in row] for row in texts]
    if texts and all(_NUMBER.fullmatch(key) for row in texts for key in row):
        bad = [number for number, row in enumerate(texts, 1) for key in row if not float(key).is_integer()]
        if bad:
            raise UserError(
                f"{place}: expected labels, found the number {texts[bad[0] - 1][0]} in {list_rows(bad)}. "
                f"For numbers to be predicted: --problem_type regression."
            )
    return texts


def _key(value: object) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return str(bool(value))
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real) and math.isfinite(value) and float(value).is_integer():
        return str(int(float(value)))
    return None


def _several(value: object, place: object) -> list[object]:
    """Return the labels of a row that may have several: a list, a mapping to truth values, or a text of names."""
    if isinstance(value, Mapping):
        return [name for name, given in value.items() if _is_true(given, name, place)]
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str):
        return [] if value is None or (isinstance(value, float) and math.isnan(value)) else [value]
    text = value.strip()
    if text.startswith("[") and text.endswith("]"):
        for parse in (json.loads, ast.literal_eval):  # as JSON and as pandas writes a list
            try:
                found = parse(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
            if isinstance(found, list):
                return found
    separator = next((mark for mark in "|;," if mark in text), ",")
    return [part.strip() for part in text.split(separator) if part.strip()]


def _is_true(value: object, name: object, place: object) -> bool:
    key = _key(value)
    if key is not None and key.lower() in ("1", "true", "yes", "x"):
        return True
    if key is None or key.lower() in ("0", "false", "no"):
        return False
    raise UserError(f"{place}: expected 0 or 1 in the column of the label {name}, found {show(value)}.")


def _numbers(raw: Sequence[object], place: object) -> list[float]:
    numbers: list[float] = []
    bad = []
    for row, value in enumerate(raw, 1):
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        numbers.append(number)
        if not math.isfinite(number):
            bad.append(row)
    if bad:
        shown = ", ".join(dict.fromkeys(show(raw[row - 1]) for row in bad[:5]))
        raise UserError(f"{place}: expected a number in every row, found {shown} in {list_rows(bad)}.")
    return numbers


# --- which labels there are ------------------------------------------------------------------------------------------


def _rename(keys: list[list[str]], renamed: Mapping[str, str], place: object) -> list[list[str]]:
    found = {key for row in keys for key in row}
    unknown = [old for old in renamed if old not in found and old.casefold() not in map(str.casefold, found)]
    if unknown and len(unknown) == len(renamed):
        raise UserError(
            f"{place}: expected the labels that --label_map names, found no {list_names(unknown)} but "
            f"{list_names(sorted(found))}."
        )
    folded = {old.casefold(): new for old, new in renamed.items()}
    return [[renamed.get(key, folded.get(key.casefold(), key)) for key in row] for row in keys]


def _ham_spam(found: Counter[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return ham and spam, and what means them, if nothing else is there: also 0 and 1, as in the chapter's files."""
    means = {key: SHORT_HAM_SPAM.get(key.lower(), "") for key in found}
    return (HAM_SPAM, means) if found and all(means.values()) else ((), {})


def _sort(found: Counter[str], place: object, rows: int) -> tuple[str, ...]:
    """Return the labels that a file holds: ham and spam in this order, numbers by size, else by the alphabet."""
    if set(found) == set(HAM_SPAM):
        return HAM_SPAM
    if len(found) > MOST_LABELS or (len(found) > 50 and 2 * len(found) > rows):
        raise UserError(
            f"{place}: expected labels, found {len(found):,} different ones in {rows:,} rows. "
            f"Name the column of the labels with --label_column."
        )
    folded: dict[str, str] = {}
    for name in found:
        if (other := folded.setdefault(name.casefold(), name)) != name:
            raise UserError(
                f"{place}: expected labels that differ in more than case, found {other} and {name}. "
                f'Merge them with --label_map "{name}={other}".'
            )
    check_names(found, place)
    if all(re.fullmatch(r"-?\d+", name) for name in found):
        return tuple(sorted(found, key=int))
    return tuple(sorted(found))


def _match(found: Counter[str], names: Sequence[str], place: object, keys: list[list[str]]) -> dict[str, str]:
    """Return the name that each label of a file means: the same, the same in another case, or that of its id."""
    by_case = {name.casefold(): name for name in names}
    by_id = {str(id_): name for id_, name in enumerate(names)} if not any(map(str.isdigit, names)) else {}
    means = {key: key if key in names else by_case.get(key.casefold()) or by_id.get(key) for key in found}
    unknown = [key for key, name in means.items() if name is None]
    if unknown:
        bad = [number for number, row in enumerate(keys, 1) if set(row) & set(unknown)]
        shown = ", ".join(show(key) for key in unknown[:5])
        raise UserError(f"{place}: expected labels {list_names(names)}, found {shown} in {list_rows(bad)}. {_REMEDY}")
    return {key: name for key, name in means.items() if name is not None}
