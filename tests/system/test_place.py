"""Where a run goes: proved before the work.   pytest tests/system/test_place.py"""

import os
import subprocess
from pathlib import Path

import pytest

from hf_spam import UserError
from hf_spam.system import place as place_
from hf_spam.system.place import find_place, prove_replaceable, prove_writable, require_room


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


BAD = {
    "": "the current one or one above",
    ".": "the current one or one above",
    "..": "the current one or one above",
    "x/..": "the current one or one above",
    "/": "the current one or one above",
    "../../here/..": "the current one or one above",
    "a\nb": "without control characters",
    "a\x1b[2Jb": "without control characters",
    "a\0b": "without control characters",
    "a\u202eb": "without control characters",
    "a\udc80": "without control characters",
    "x/\x07/run": "without control characters",
    "loop": "a link to itself",
    "run.partial": "does not end in .partial",
    "run.replaced": "does not end in .partial",
    "run.lock": "does not end in .partial",
    "n" * 256: "cannot be written: File name too long",
    "n" * 250: "cannot be written: File name too long",
    "a/" * 2000 + "run": "the path is too long",
    "file": "found a file",
    "file/run": "cannot be written: ",
    "/proc/run": "cannot be written: ",
}


@pytest.mark.parametrize(("name", "problem"), BAD.items(), ids=[ascii(name)[:30] for name in BAD])
def test_refused_before_any_work(here: Path, name: str, problem: str) -> None:
    (here / "loop").symlink_to("loop")
    (here / "file").touch()
    before = sorted(here.parent.rglob("*"))
    with pytest.raises(UserError, match=r"\.$") as error:
        prove_writable(find_place(name))
    assert problem in str(error.value)
    assert sorted(here.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("run", "run"),
        ("deep/er/run", "deep/er/run"),
        ("./run/", "run"),
        ("folder/../run", "{here}/run"),
        ("link", "{here}/folder"),
        ("dangling", "{here}/nowhere/yet"),
        ("link/run", "link/run"),
        ("dangling/run", "{here}/nowhere/yet/run"),
        ("café ☕ run", "café ☕ run"),
        ("n" * 242, "n" * 242),
        ("..run", "..run"),
    ],
)
def test_where_it_goes(here: Path, name: str, expected: str) -> None:
    (here / "folder").mkdir()
    (here / "link").symlink_to("folder")
    (here / "dangling").symlink_to("nowhere/yet")
    before = sorted(here.rglob("*"))
    place = find_place(name)
    assert str(place) == expected.format(here=here)
    prove_writable(place)
    assert find_place(place) == place
    assert sorted(here.rglob("*")) == before


def test_a_folder_that_can_be_replaced(here: Path) -> None:
    (here / "run").mkdir()
    (here / "run" / "file").touch()
    prove_replaceable(Path("run"))
    assert sorted(here.rglob("*")) == [here / "run", here / "run" / "file"]


@pytest.mark.parametrize("options", [["-t", "tmpfs", "tmpfs"], ["--bind", "folder"]], ids=["own", "bind"])
def test_a_mount_point(here: Path, options: list[str]) -> None:
    (here / "folder").mkdir()
    (here / "run").mkdir()
    if subprocess.run(["mount", *options, "run"], capture_output=True).returncode:
        pytest.skip("a mount point: only root may mount one")
    try:
        with pytest.raises(UserError, match=r"run: (is a mount point and )?cannot be replaced.* Name a folder in it"):
            prove_replaceable(Path("run"))
    finally:
        subprocess.run(["umount", "run"], check=True)


def test_no_permission(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (here / "run").mkdir()
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UserError, match="run: cannot be replaced: Operation not permitted"):
        prove_replaceable(Path("run"))


def test_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_, "free_space", lambda folder: 10**9)
    require_room(Path("run"), 10**9)
    with pytest.raises(UserError, match=r"run: expected room for about 2 GB, found 1 GB free\. Make room"):
        require_room(Path("run"), 2 * 10**9)
