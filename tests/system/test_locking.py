"""One process at a time.   pytest tests/system/test_locking.py"""

from pathlib import Path

import pytest

from hf_spam import UserError
from hf_spam.system.locking import locked


def test_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.lock"
    with locked(path, "busy"):
        assert path.exists()
        with pytest.raises(UserError, match="busy"), locked(path, "busy"):
            pass
        assert path.exists()
    assert not path.exists()
    with locked(path, "busy"):
        pass


def test_a_lock_that_cannot_be_made() -> None:
    """Not a lock that somebody holds."""
    with pytest.raises(OSError, match=r"/proc/a\.lock"), locked(Path("/proc/a.lock"), "busy"):
        pass
