"""A manifest: what a complete folder holds, whoever wrote it.   pytest tests/system/test_manifest.py"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_spam import UserError
from hf_spam.system.manifest import MANIFEST_FILE, check_manifest, is_inner_name, read_manifest, write_manifest

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inner").mkdir()
    (tmp_path / "weights").write_bytes(b"abc")
    (tmp_path / "inner" / "café").write_bytes(b"abc")
    write_manifest(tmp_path, [tmp_path / "weights", tmp_path / "inner" / "café"])
    return tmp_path


def test_what_is_written_fits(folder: Path) -> None:
    entry = {"sha256": ABC, "bytes": 3}
    assert json.loads((folder / MANIFEST_FILE).read_text()) == {"files": {"inner/café": entry, "weights": entry}}
    assert read_manifest(folder) == {"inner/café": entry, "weights": entry}
    assert check_manifest(folder) == []
    (folder / "not listed").touch()
    (folder / "weights").rename(folder / "blob")
    (folder / "weights").symlink_to("blob")  # as in a snapshot from the Hub
    assert check_manifest(folder) == []


def test_no_manifest(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    assert check_manifest(tmp_path) == ["manifest.json is missing"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda path: path.unlink(), "weights is missing"),
        (lambda path: path.write_bytes(b"abd"), "weights has changed"),
        (lambda path: path.write_bytes(b"ab"), "weights has changed: it has 2 bytes, not 3"),
        (lambda path: (path.unlink(), path.mkdir()), "weights is no regular file"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "weights is no regular file"),
        (lambda path: (path.unlink(), path.symlink_to("nowhere")), "weights is missing"),
        (lambda path: (path.unlink(), path.symlink_to("/dev/zero")), "weights is no regular file"),
    ],
)
def test_what_does_not_fit(folder: Path, change: Callable[[Path], object], problem: str) -> None:
    change(folder / "weights")
    assert check_manifest(folder) == [problem]


GOOD = {"sha256": ABC, "bytes": 3}
STRANGE: list[Any] = [
    [1], 5, None, "x", {}, {"files": []}, {"files": {}}, {"files": None}, {"files": {"a": GOOD}, "more": 1},
    {"files": {"a": ABC}}, {"files": {"a": {}}}, {"files": {"a": {**GOOD, "more": 1}}}, {"files": {"a": {"sha256": ABC}}},
    *({"files": {"a": {**GOOD, "sha256": value}}} for value in (5, None, [], "", ABC.upper(), ABC[1:], f"{ABC}0", f"{ABC}\n")),
    *({"files": {"a": {**GOOD, "bytes": value}}} for value in ("3", 3.0, True, None, -1, [])),
    *({"files": {name: GOOD}} for name in (
        "", ".", "..", "../x", "a/../x", "a/..", "/etc/passwd", "//a", "a//b", "./a", "a/", "a\\b", "..\\x", "C:x", "C:/x",
        "\\\\server\\share\\x", "a\0b", "a\nb", "\x1b[2J", "\u202ea", "\ud800",
    )),
]  # fmt: skip


@pytest.mark.parametrize("content", STRANGE, ids=lambda content: ascii(content)[:60])
def test_a_strangers_manifest(tmp_path: Path, content: Any) -> None:
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(content))
    for read in (read_manifest, check_manifest):
        with pytest.raises(UserError, match=r"manifest\.json: expected"):
            read(tmp_path)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"files": {}, "files": {}}', b"[" * 100_000])
def test_no_json(tmp_path: Path, data: bytes) -> None:
    (tmp_path / MANIFEST_FILE).write_bytes(data)
    with pytest.raises(UserError, match=r"manifest\.json: expected"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_no_file(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / MANIFEST_FILE)
    with pytest.raises(UserError, match=r"manifest\.json: expected"):
        read_manifest(tmp_path)


@given(st.text() | st.lists(st.sampled_from(["..", ".", "", "a", "b c", "C:", "\\"])).map("/".join))
def test_an_inner_name_stays_inside(name: str) -> None:
    if is_inner_name(name):
        assert os.path.normpath(f"/folder/{name}") == f"/folder/{name}"


@pytest.mark.parametrize("name", ["a", "a/b", "a b", ".hidden", "..a", "a..", "café"])
def test_inner_names(name: str) -> None:
    assert is_inner_name(name)


def test_json_that_is_no_name() -> None:
    assert not is_inner_name(5)
