"""Pushing to what is no Hub: pages and odd JSON in the place of its answers.   pytest tests/hub/test_odd_hub.py"""

from pathlib import Path

import pytest
from support.loopback_hub import Fault, LoopbackHub
from support.strange_servers import ODD_JSON, PAGE
from support.strange_texts import CONTROLS

import hf_spam.hub.repository
from hf_spam import UserError
from hf_spam.hub.repository import Repository, prepare_repository, publish

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
UNKNOWN, NOT_YET = "It is unknown whether the commit was made", "Nothing was published."
STEPS = ["/repos/create", "/branch/", "/validate-yaml", "/preupload/", "/objects/batch", "/commit/"]
QUICK = [("/repos/create", 200), ("/commit/", 200), ("/commit/", 403)]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setattr(hf_spam.hub.repository, "TIMEOUT", 0.5)


def push() -> str:
    contents = {"README.md": b"---\nlicense: mit\n---\n# A model\n", "model.safetensors": b"weights"}
    repository = prepare_repository(Repository("alice/spam", private=True, revision="trial"))
    return publish(repository, contents, "a commit")


@pytest.mark.parametrize(
    ("step", "status"),
    [
        pytest.param(step, status, marks=() if (step, status) in QUICK else pytest.mark.slow)
        for step in STEPS
        for status in (200, 403, 500)
    ],
)
@pytest.mark.parametrize("name", ODD_JSON)
def test_odd_answers(hub: LoopbackHub, name: str, step: str, status: int) -> None:
    """One line that says what is published: nothing, or that nobody knows."""
    hub.faults = [Fault("POST", step, status, body=ODD_JSON[name], times=99)]
    try:
        url = push()
    except UserError as error:
        told = str(error)
        assert "\n" not in told
        assert not CONTROLS & set(told)
        assert told.startswith(("could not push to alice/spam: ", "alice/spam: expected a private repository"))
        commit = step == "/commit/" and status != 403
        assert (UNKNOWN if commit else NOT_YET) in told
        assert not hub.exists("alice/spam") or not any(
            "README.md" in hub.files("alice/spam", revision=branch) for branch in hub.branches("alice/spam")
        )
    else:  # an answer that the client does not look at
        assert status == 200
        assert step in ("/branch/", "/validate-yaml", "/preupload/", "/objects/batch")
        assert url.startswith("http")


@pytest.mark.parametrize("answer", [b"null", b'"yes"', b"1", b'"false"', b"[]", b"false"])
def test_only_a_clear_yes_is_private(hub: LoopbackHub, answer: bytes) -> None:
    hub.faults = [
        Fault("GET", "/api/models/alice/spam", 200, body=b'{"id": "alice/spam", "private": ' + answer + b"}")
    ]
    with pytest.raises(UserError, match="expected a private repository, found a public one"):
        push()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/alice/other", "http://127.0.0.1/", "x", "http://127.0.0.1/bob/spam"]
)
def test_another_repository_than_was_asked_for(hub: LoopbackHub, url: str) -> None:
    hub.faults = [Fault("POST", "/repos/create", 200, body=f'{{"url": "{url}"}}'.encode())]
    with pytest.raises(UserError, match=r"could not push to alice/spam: .*Nothing was published\.$"):
        push()


def test_a_portal_on_every_road(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.faults = [Fault(".*", "", 200, body=PAGE, headers={"Content-Type": "text/html"}, times=99)]
    with pytest.raises(UserError, match=r"could not push to alice/spam: .*Nothing was published\.$"):
        push()
