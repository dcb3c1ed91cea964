"""The rows of a sheet of an Excel file (.xlsx), streamed. Needs the extra [xlsx]."""

import warnings
import zipfile
from collections.abc import Iterator
from itertools import islice
from typing import Any

from ..errors import UserError, install_hint
from .columns import TEXT_NAMES, Part, Rows, Wanted, choose_columns, recognise, unique_names
from .opening import Source

_LARGEST = 2**28  # bytes of the texts of all sheets, which are kept in memory


def read_spreadsheet(source: Source, wanted: Wanted) -> Part:
    """Return the rows of a sheet: the first whose header names a column of texts, else the first that is not empty.

    Raises:
        UserError: If openpyxl is missing, or the file is damaged, too large or has no such sheet.
    """
    try:
        import openpyxl
    except ImportError:
        raise UserError(
            f"{source.name}: an Excel file needs openpyxl, which is missing: {install_hint('xlsx')}"
        ) from None

    def sheets() -> Iterator[tuple[str, Iterator[tuple[Any, ...]]]]:
        with source.seekable() as file:
            try:
                _check_size(source.name, file)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of what openpyxl leaves out: styles, validation, drawings
                    book = openpyxl.load_workbook(file, read_only=True, data_only=True)
                    for sheet in book.worksheets:
                        sheet.reset_dimensions()  # as recorded, they may leave out rows
                        yield sheet.title, sheet.iter_rows(values_only=True)
                    book.close()
            except (UserError, GeneratorExit):
                raise
            except Exception as error:  # openpyxl checks little, so that a damaged file may raise anything
                raise UserError(
                    f"{source.name}: expected an Excel file, found a damaged one ({type(error).__name__}). "
                    f"Save it as CSV."
                ) from None

    headers = {}
    for title, rows in sheets():
        first = next((row for row in rows if any(value is not None for value in row)), None)
        if first is not None:
            headers[title] = _names(first)
    if not headers:
        raise UserError(f"{source.name}: expected messages, found no rows.")
    known = [title for title, names in headers.items() if recognise(names, TEXT_NAMES)]
    title = (known or list(headers))[0]
    columns = unique_names(headers[title])
    shown = [given if given.strip() else column for given, column in zip(headers[title], columns, strict=True)]
    chosen = choose_columns(shown, wanted.text_column, wanted.label_column, wanted.needs_label, source.name)

    def numbered() -> Rows:
        for found, rows in sheets():
            if found == title:
                full = ([_value(value) for value in row] for row in rows if any(value is not None for value in row))
                for number, row in enumerate(islice(full, 1, None), 1):
                    if any(value is not None for value in row[len(columns) :]):
                        raise UserError(
                            f"{source.name}, row {number}: expected {len(columns)} columns as in the header, found "
                            f"{len(row)}. Name the other columns or empty them."
                        )
                    padded = [*row, *[None] * (len(columns) - len(row))]
                    values = dict(zip(columns, padded, strict=False))
                    yield number, {**values, **{name: _text(values[name]) for name in chosen.texts}}
                return

    notes = [f"sheet {title!r} of {len(headers)}"] if len(headers) > 1 else []
    return Part(source.name, columns, chosen.texts, chosen.labels, notes, {}, numbered)


def _names(row: tuple[Any, ...]) -> list[str]:
    names = ["" if value is None else str(value) for value in row]
    while names and not names[-1].strip():
        names.pop()
    return names


def _value(value: Any) -> Any:
    """Return the value of a cell; in Excel's texts `_x000D_` is a carriage return, and `_x005F_` an underscore."""
    if isinstance(value, str) and "_x00" in value:
        return value.replace("_x000D_", "\r").replace("_x005F_", "_")
    return value


def _text(value: Any) -> Any:
    """Return a number as Excel shows it: a message of digits alone becomes a number there."""
    if isinstance(value, bool):
        return str(value).upper()
    return f"{value:.15g}" if isinstance(value, int | float) else value


def _check_size(name: str, file: Any) -> None:
    with zipfile.ZipFile(file) as archive:
        size = sum(info.file_size for info in archive.infolist() if "sharedStrings" in info.filename)
    if size > _LARGEST:
        raise UserError(f"{name}: expected texts of at most {_LARGEST:,} bytes, found {size:,}. Save it as CSV.")
    file.seek(0)
