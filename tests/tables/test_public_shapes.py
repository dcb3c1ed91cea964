"""Files as they are published: their rows, complete and in order.   pytest tests/tables/test_public_shapes.py"""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.public_shapes import SHAPES, Shape

from hf_spam.tables.folders import read_folder
from hf_spam.tables.table import Table, open_table


def rows(table: Table) -> list[tuple[object, str]]:
    return [(table.label(row), table.text(place, row)) for place, row in table.rows()]


@pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES)
def test_every_row(tmp_path: Path, make: Callable[[Path], Shape]) -> None:
    shape = make(tmp_path)
    if shape.path.is_dir():
        tables = read_folder(shape.path, **shape.columns)
        assert list(tables) == list(shape.splits or ["all"])
        table = tables.get("train", next(iter(tables.values())))
    else:
        table = open_table(shape.path, **shape.columns)
    assert rows(table) == shape.rows
    assert table.read == len(shape.rows)
    assert table.label_names == shape.label_names
    assert rows(table) == shape.rows  # again
