"""Names on the Hub.   pytest tests/values/test_names.py"""

import pytest

from hf_spam import UserError
from hf_spam.values.names import check_branch, check_license, check_repository

BRANCHES = ["main", "my-branch", "v1.0", "refs/pr/1", "a_b/c+d"]
NO_BRANCHES = ["", " ", "-x", "/a", "a/", "a//b", "a..b", "a.lock", "a.lock/b", ".a", "a/.b", "a.", "a b", "a~1", "a^"]
NO_BRANCHES += ["a:b", "a?", "a*", "a[", "a\\b", "a@{1}", "a\nb", "a\0", "ä", "x" * 251]
LICENSES = ["mit", "apache-2.0", "cc-by-4.0", "gpl-3.0+", "other"]
NO_LICENSES = ["", "MIT", "-mit", "my license", "mit\n", "a: b", "x" * 65, "[mit]"]


def test_names_that_the_hub_accepts() -> None:
    for branch in BRANCHES:
        check_branch("revision", branch)
    for license_ in LICENSES:
        check_license("license", license_)
    for repository in ("me/spam-filter", "spam-filter", "a/b.c_d"):
        check_repository("push", repository)


@pytest.mark.parametrize("name", NO_BRANCHES)
def test_no_branch(name: str) -> None:
    with pytest.raises(UserError, match=r"--revision: expected the name of a branch"):
        check_branch("revision", name)


@pytest.mark.parametrize("name", NO_LICENSES)
def test_no_license(name: str) -> None:
    with pytest.raises(UserError, match=r"--license: expected a license"):
        check_license("license", name)


@pytest.mark.parametrize("name", ["", "a/b/c", "a b", "-a", "a--b", "a..b", "x" * 200, "me/it.git"])
def test_no_repository(name: str) -> None:
    with pytest.raises(UserError, match=r"--push: expected a repository as OWNER/NAME"):
        check_repository("push", name)
