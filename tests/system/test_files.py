"""Files whole or not at all, and a full disk recognised.   pytest tests/system/test_files.py"""

import errno
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from hf_spam.system import files


def test_a_failure_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    files.write_atomically(path, b"first")
    with pytest.raises(ZeroDivisionError), files.atomic_file(path) as temporary:
        temporary.write_bytes(b"half") // 0  # written, then an error
    assert path.read_bytes() == b"first"
    files.write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with pytest.raises(ZeroDivisionError), files.atomic_folder(folder) as temporary:
        (temporary / "file").write_bytes(b"half") // 0
    assert list(tmp_path.iterdir()) == []
    folder.mkdir()  # an empty one may be there
    with files.atomic_folder(folder) as temporary:
        (temporary / "file").touch()
    with pytest.raises(OSError, match="not empty"), files.atomic_folder(folder):
        pass
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*")] == [Path("folder"), Path("folder/file")]


def test_hashes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert files.sha256(b"abc") == files.hash_file(tmp_path / "file") == expected


def test_the_space_of_a_folder_that_does_not_exist_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.nearest_existing(tmp_path / "a" / "b") == tmp_path
    assert files.nearest_existing(tmp_path) == tmp_path
    asked: list[Path] = []
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: asked.append(folder) or SimpleNamespace(free=7))
    monkeypatch.chdir(tmp_path)
    assert files.free_space(Path("a/b")) == 7
    assert asked == [tmp_path]


@pytest.mark.parametrize(
    ("error", "free", "full"),
    [
        (OSError(errno.ENOSPC, "told by its number"), 2**40, True),
        (OSError(errno.EDQUOT, "a user's own limit"), 2**40, True),
        (OSError(errno.EACCES, "something else"), 2**40, False),
        (RuntimeError("PytorchStreamWriter failed: No space left on device"), 2**40, True),
        (RuntimeError("unexpected pos 64 vs 0"), 2**20 - 1, True),  # torch, on a half-written file
        (RuntimeError("unexpected pos 64 vs 0"), 2**20, False),
        (KeyboardInterrupt(), 0, False),
    ],
)
def test_a_full_disk(
    error: BaseException, free: int, full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    assert files.is_disk_full(error, tmp_path) is full
