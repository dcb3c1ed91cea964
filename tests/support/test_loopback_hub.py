"""The Hub on loopback that other tests push to, asked by the real clients: pytest tests/support/test_loopback_hub.py"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, get_session, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from support.loopback_hub import Fault, LoopbackHub

from hf_spam.network.hub_http import httpx

# The client sends a file in a way of which its own HTTP library disapproves.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

CARD = "---\nlicense: apache-2.0\ntags:\n- spam\npipeline_tag: text-classification\n---\n# A model\n"
REPOSITORY = "alice/spam"
INITIAL = [".gitattributes"]


@pytest.fixture
def client(hub: LoopbackHub) -> Callable[[str | bool], HfApi]:
    """The real client with a token, or without any (False)."""
    return lambda token: HfApi(endpoint=hub.url, token=token)


@pytest.fixture
def alice(client: Callable[[str | bool], HfApi]) -> HfApi:
    """The real client of a user with an empty repository."""
    api = client("hf_alice")
    api.create_repo(REPOSITORY)
    return api


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    """Put files into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def put(
    api: HfApi,
    path: str,
    content: str | bytes,
    revision: str | None = None,
    parent: str | None = None,
    title: str = "put",
) -> str:
    """Commit one file and return the commit's id."""
    added = CommitOperationAdd(path, content.encode() if isinstance(content, str) else content)
    commit = api.create_commit(REPOSITORY, [added], commit_message=title, revision=revision, parent_commit=parent)
    return commit.oid


def uploads(hub: LoopbackHub) -> list[str]:
    """The paths to which objects were put."""
    return [path for method, path, _ in hub.requests if method == "PUT"]


def post_commit(hub: LoopbackHub, *lines: dict[str, object], revision: str = "main") -> tuple[int, str]:
    """Commit without the client's checks: the answer's status and text."""
    header: dict[str, object] = {"key": "header", "value": {"summary": "a commit"}}
    content = "\n".join(json.dumps(line) for line in (header, *lines))
    address = f"{hub.url}/api/models/{REPOSITORY}/commit/{revision}"
    answer = get_session().post(address, content=content, headers={"Authorization": "Bearer hf_alice"})
    return answer.status_code, answer.text


def test_every_byte_comes_back(hub: LoopbackHub, alice: HfApi, tmp_path: Path) -> None:
    files = {
        "README.md": CARD.encode(),
        "model.safetensors": bytes(range(256)) * 20,  # LFS by its name
        "checkpoint/state": b"\x80\0" * 300,  # LFS by its content
        "a folder/grün.txt": "grün\r\n".encode() * 600,
        "empty": b"",
    }
    commit = alice.upload_folder(repo_id=REPOSITORY, folder_path=write_folder(tmp_path / "local", files))
    stored = hub.files(REPOSITORY)
    assert {name: stored[name] for name in stored if name not in INITIAL} == files
    assert (hub.log(REPOSITORY), hub.unknown) == (["Upload folder using huggingface_hub", "initial commit"], [])
    assert commit.oid == hub.branches(REPOSITORY)["main"]
    assert len(uploads(hub)) == 2
    assert not any(token for method, _, token in hub.requests if method == "PUT")  # the client sends none there

    downloaded = Path(
        snapshot_download(REPOSITORY, endpoint=hub.url, token=False, cache_dir=tmp_path / "cache", revision=commit.oid)
    )
    assert {name: (downloaded / name).read_bytes() for name in files} == files
    assert not hub.unknown


def test_what_the_client_learns_of_a_repository(hub: LoopbackHub, alice: HfApi) -> None:
    assert alice.whoami()["name"] == "alice"
    created = alice.create_repo("spam", exist_ok=True)
    assert (created.repo_id, created.repo_type, str(created)) == (REPOSITORY, "model", f"{hub.url}/{REPOSITORY}")
    with pytest.raises(HfHubHTTPError, match="You already created this model repo"):
        alice.create_repo(REPOSITORY)
    commit = put(alice, "README.md", CARD, title="a card")
    put(alice, "a/b/x.bin", b"\0", title="an object")

    info = alice.model_info(REPOSITORY, files_metadata=True)
    assert (info.id, info.private, info.pipeline_tag, info.tags) == (
        REPOSITORY,
        False,
        "text-classification",
        ["spam"],
    )
    assert info.sha == hub.branches(REPOSITORY)["main"]
    assert info.card_data is not None
    assert info.card_data.license == "apache-2.0"
    assert info.siblings is not None
    assert [(file.rfilename, file.size, file.lfs is not None) for file in info.siblings[1:]] == [
        ("README.md", len(CARD), False),
        ("a/b/x.bin", 1, True),
    ]
    titles = [entry.title for entry in alice.list_repo_commits(REPOSITORY)]
    assert titles == hub.log(REPOSITORY) == ["an object", "a card", "initial commit"]
    assert [entry.path for entry in alice.list_repo_tree(REPOSITORY)] == [*INITIAL, "README.md", "a"]
    assert [entry.path for entry in alice.list_repo_tree(REPOSITORY, "a", recursive=True)] == ["a/b", "a/b/x.bin"]
    assert [entry.path for entry in alice.get_paths_info(REPOSITORY, ["a", "none", "README.md"])] == ["a", "README.md"]
    assert alice.list_repo_files(REPOSITORY, revision=commit) == [*INITIAL, "README.md"]
    assert alice.file_exists(REPOSITORY, "README.md")
    assert not alice.file_exists(REPOSITORY, "none")
    with pytest.raises(EntryNotFoundError):
        list(alice.list_repo_tree(REPOSITORY, "none"))
    assert not hub.unknown

    with pytest.raises(HfHubHTTPError, match="404"):
        alice.create_tag(REPOSITORY, tag="v1")
    assert hub.unknown == [("POST", f"/api/models/{REPOSITORY}/tag/main")]


def test_a_large_object_goes_in_parts(hub: LoopbackHub, alice: HfApi, tmp_path: Path) -> None:
    content = os.urandom(25_000)
    hub.multipart_over = 2_000
    alice.upload_folder(repo_id=REPOSITORY, folder_path=write_folder(tmp_path / "x", {"model.safetensors": content}))
    assert [path.rsplit("/")[-1] for path in uploads(hub)] == [str(part) for part in range(1, 14)]
    assert hub.files(REPOSITORY)["model.safetensors"] == content


def test_only_what_changed_is_sent(hub: LoopbackHub, alice: HfApi, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "local", {"a.bin": b"a", "b.bin": b"b", "c.txt": b"c", "d.txt": b"d"})
    first = alice.upload_folder(repo_id=REPOSITORY, folder_path=folder)
    before = hub.files(REPOSITORY)
    assert len(uploads(hub)) == 2
    again = alice.upload_folder(repo_id=REPOSITORY, folder_path=folder)
    assert (again.oid, len(hub.log(REPOSITORY)), len(uploads(hub))) == (first.oid, 2, 2)

    write_folder(folder, {"b.bin": b"new", "d.txt": b"new"})
    alice.upload_folder(repo_id=REPOSITORY, folder_path=folder, commit_message="second")
    assert hub.files(REPOSITORY) == before | {"b.bin": b"new", "d.txt": b"new"}
    assert hub.files(REPOSITORY, revision=first.oid) == before
    assert (hub.log(REPOSITORY)[0], len(uploads(hub))) == ("second", 3)

    alice.delete_file("a.bin", REPOSITORY)
    assert hub.files(REPOSITORY).keys() == before.keys() - {"a.bin"}
    with pytest.raises(EntryNotFoundError, match="A file with this name doesn't exist"):
        alice.delete_folder("a.bin", REPOSITORY)


def test_branches(hub: LoopbackHub, alice: HfApi) -> None:
    with pytest.raises(RevisionNotFoundError):
        put(alice, "x", "x", revision="runs/1")
    for revision in ("none", hub.branches(REPOSITORY)["main"]):
        assert post_commit(hub, revision=revision)[0] == 404
    alice.create_branch(REPOSITORY, branch="runs/1")
    alice.create_branch(REPOSITORY, branch="runs/1", exist_ok=True)
    with pytest.raises(HfHubHTTPError, match="409"):
        alice.create_branch(REPOSITORY, branch="runs/1")
    commit = put(alice, "x", "x", revision="runs/1")
    assert list(hub.files(REPOSITORY)) == INITIAL
    assert list(hub.files(REPOSITORY, revision="runs/1")) == [*INITIAL, "x"]
    refs = {branch.name: branch.target_commit for branch in alice.list_repo_refs(REPOSITORY).branches}
    assert refs == hub.branches(REPOSITORY) == {"main": refs["main"], "runs/1": commit}
    assert not hub.unknown


def test_a_private_repository_looks_missing_to_others(
    hub: LoopbackHub, client: Callable[[str | bool], HfApi], tmp_path: Path
) -> None:
    client("hf_alice").create_repo("alice/secret", private=True, repo_type="dataset")
    assert hub.exists("alice/secret", "dataset")
    assert hub.is_private("alice/secret", "dataset")
    assert not hub.exists("alice/secret")
    for known in ("hf_alice", "hf_reader"):
        assert client(known).dataset_info("alice/secret").private is True
    for name in ("alice/secret", "alice/none"):
        for token, status in ((False, 401), ("hf_bob", 404)):
            with pytest.raises(RepositoryNotFoundError) as refused:
                client(token).dataset_info(name)
            assert refused.value.response.status_code == status
            with pytest.raises(RepositoryNotFoundError):
                client(token).hf_hub_download(name, "x", repo_type="dataset", cache_dir=tmp_path / "cache")


def test_a_wrong_token(hub: LoopbackHub, alice: HfApi, client: Callable[[str | bool], HfApi]) -> None:
    assert client(False).model_info(REPOSITORY).id == REPOSITORY
    with pytest.raises(HfHubHTTPError, match="Invalid credentials in Authorization header"):
        client("hf_expired").model_info(REPOSITORY)
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        client("hf_expired").whoami()


@pytest.mark.parametrize(
    ("token", "status", "message"),
    [
        (False, 401, "Invalid username or password"),
        ("hf_expired", 401, "Invalid username or password"),
        ("hf_reader", 403, "you must use a write token"),
        ("hf_bob", 403, "You don't have the rights"),
    ],
)
def test_who_may_not_write(
    hub: LoopbackHub,
    alice: HfApi,
    client: Callable[[str | bool], HfApi],
    token: str | bool,
    status: int,
    message: str,
) -> None:
    actions: list[Callable[[HfApi], object]] = [
        lambda api: api.create_repo("alice/new"),
        lambda api: api.create_branch(REPOSITORY, branch="new"),
        lambda api: put(api, "x.bin", "x"),
    ]
    for action in actions:
        with pytest.raises(HfHubHTTPError, match=message) as refused:
            action(client(token))
        assert refused.value.response.status_code == status
    assert (hub.exists("alice/new"), list(hub.branches(REPOSITORY)), uploads(hub)) == (False, ["main"], [])


def test_a_commit_on_an_old_parent_is_refused(hub: LoopbackHub, alice: HfApi) -> None:
    parent = hub.branches(REPOSITORY)["main"]
    put(alice, "x", "first", parent=parent)
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as refused:
        put(alice, "x", "second", parent=parent)
    assert refused.value.response.status_code == 412
    assert hub.files(REPOSITORY)["x"] == b"first"


def test_commits_at_the_same_time_all_land(hub: LoopbackHub, alice: HfApi) -> None:
    names = [f"{number}.bin" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: put(alice, name, name), names))
    assert len(hub.log(REPOSITORY)) == 9
    assert {name: hub.files(REPOSITORY)[name].decode() for name in names} == {name: name for name in names}


def test_a_commit_needs_its_objects(hub: LoopbackHub, alice: HfApi) -> None:
    commit = put(alice, "there.bin", "there")
    oid = uploads(hub)[0].split("/")[-2]
    regular: dict[str, object] = {"key": "file", "value": {"path": "x", "content": "eA=="}}
    for value in ({"oid": "0" * 64, "size": 5}, {"oid": oid, "size": 6}):
        status, text = post_commit(hub, regular, {"key": "lfsFile", "value": {"path": "y", "algo": "sha256", **value}})
        assert (status, "LFS pointer pointed to a file that does not exist" in text) == (400, True)
        assert hub.branches(REPOSITORY)["main"] == commit

    unannounced = uploads(hub)[0].replace(oid, "0" * 64)
    assert get_session().put(hub.url + unannounced, content=b"x").status_code == 403
    answer = get_session().put(hub.url + uploads(hub)[0], content=b"other")
    assert (answer.status_code, answer.json()["error"]) == (400, "The content does not have the announced SHA-256.")
    assert hub.files(REPOSITORY)["there.bin"] == b"there"


def test_ranges(hub: LoopbackHub, alice: HfApi) -> None:
    put(alice, "x.bin", bytes(range(10)))
    address = f"{hub.url}/{REPOSITORY}/resolve/main/x.bin"
    for wanted, content, found in (("2-4", bytes([2, 3, 4]), "2-4"), ("7-", bytes([7, 8, 9]), "7-9")):
        answer = get_session().get(address, headers={"Range": f"bytes={wanted}"})
        assert (answer.status_code, answer.content) == (206, content)
        assert answer.headers["Content-Range"] == f"bytes {found}/10"
    assert get_session().get(address, headers={"Range": "bytes=10-"}).status_code == 416
    head = get_session().head(address)
    assert (head.headers["Content-Length"], head.headers["X-Linked-Size"], head.content) == ("10", "10", b"")


def test_faults_are_used_up_in_turn(hub: LoopbackHub, alice: HfApi) -> None:
    hub.faults = [
        Fault("GET", "/whoami", 503, skip=1, times=2, headers={"Retry-After": "7"}, body=b"busy"),
        Fault(".*", "/api", 418, times=2),
        Fault("POST", "/whoami", 500),
    ]
    answers = [get_session().get(f"{hub.url}/api/whoami-v2?x=/api/y") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [418, 503, 503, 418, 401]
    assert (answers[1].headers["Retry-After"], answers[1].content) == ("7", b"busy")
    assert [(fault.times, fault.skip) for fault in hub.faults] == [(0, 0), (0, 0), (1, 0)]
    assert hub.requests[-5:] == [("GET", "/api/whoami-v2", False)] * 5


@pytest.mark.slow
@pytest.mark.skipif(huggingface_hub.__version__.startswith("1."), reason="huggingface_hub 2 repeats them")
def test_the_client_repeats_what_failed_on_the_way(hub: LoopbackHub, alice: HfApi) -> None:
    content = os.urandom(3_000_000)
    hub.faults = [Fault("PUT", "/lfs/", hang_up=True), Fault("POST", "/verify", status=503)]
    put(alice, "x.bin", content)
    assert [fault.times for fault in hub.faults] == [0, 0]
    assert len(uploads(hub)) == 2
    assert hub.files(REPOSITORY)["x.bin"] == content


def test_a_commit_that_fails_leaves_the_branch(hub: LoopbackHub, alice: HfApi, tmp_path: Path) -> None:
    hub.faults = [Fault("POST", "/commit/", 500), Fault("HEAD|GET", "/resolve/", hang_up=True, times=9)]
    with pytest.raises(HfHubHTTPError, match="500"):
        put(alice, "x.bin", "x")
    assert hub.log(REPOSITORY) == ["initial commit"]
    put(alice, "x.bin", "x")
    assert len(uploads(hub)) == 1  # the object had arrived
    with pytest.raises(httpx.RemoteProtocolError):
        alice.hf_hub_download(REPOSITORY, "x.bin", cache_dir=tmp_path / "cache")


def test_a_delay_ends_with_the_hub(tmp_path: Path) -> None:
    with LoopbackHub(tmp_path) as hub:
        hub.faults = [Fault("GET", "/whoami", delay=0.2), Fault("GET", "/whoami", delay=600)]
        start = time.monotonic()
        assert get_session().get(f"{hub.url}/api/whoami-v2").status_code == 401
        assert time.monotonic() - start > 0.2
        command = [sys.executable, "-c", f"import urllib.request as r; r.urlopen('{hub.url}/api/whoami-v2')"]
        waiting = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while hub.faults[1].times:
            time.sleep(0.01)
    assert "RemoteDisconnected" in waiting.communicate(timeout=10)[1]


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("# A model\n", "empty or missing yaml metadata in repo card"),
        ("---\n- spam\n---\n", "empty or missing yaml metadata in repo card"),
        ("---\nlicense: [mit\n---\n", "YAML metadata cannot be parsed"),
        ("---\nlicense: 3\n---\n", '"license" has a wrong type'),
        ("---\nlicense: mit\npipeline_tag: [text-classification]\n---\n", '"pipeline_tag" has a wrong type'),
        ("---\nmodel-index: spam\n---\n", '"model-index" has a wrong type'),
        ("---\nmodel-index:\n- name: spam\n  results:\n  - metrics: []\n---\n", '"model-index" is invalid'),
    ],
)
def test_a_bad_card_is_refused(hub: LoopbackHub, alice: HfApi, card: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        put(alice, "README.md", card)
    assert hub.log(REPOSITORY) == ["initial commit"]


def test_a_later_hub_goes_on(hub: LoopbackHub, alice: HfApi) -> None:
    put(alice, "x.bin", "x")
    with LoopbackHub(hub.folder) as later:
        later.tokens = {"hf_other": "alice"}
        assert later.files(REPOSITORY) == hub.files(REPOSITORY)
        api = HfApi(endpoint=later.url, token="hf_other")
        put(api, "x.bin", "x")
        assert (later.log(REPOSITORY), uploads(later)) == (hub.log(REPOSITORY), [])
        put(api, "x.bin", "y", title="later")
    assert (hub.log(REPOSITORY)[0], hub.files(REPOSITORY)["x.bin"]) == ("later", b"y")
    kept = b"\0".join(path.read_bytes() for path in hub.folder.rglob("*") if path.is_file())
    assert b"initial commit" in kept
    assert b"hf_" not in kept


PUSH = """
from datasets import Dataset, DatasetDict
from transformers import GPT2Config, GPT2ForSequenceClassification
split = Dataset.from_dict({"text": ["Win!", "Hello"], "label": [1, 0]})
DatasetDict(train=split, test=split).push_to_hub("alice/messages", private=True)
config = GPT2Config(n_embd=4, n_layer=1, n_head=1, vocab_size=8, n_positions=4, bos_token_id=7, eos_token_id=7)
model = GPT2ForSequenceClassification(config)
model.push_to_hub("alice/spam", private=True)
print(float(model.score.weight.sum()))
"""
LOAD = """
from datasets import load_dataset
from transformers import AutoModelForSequenceClassification
print(float(AutoModelForSequenceClassification.from_pretrained("alice/spam").score.weight.sum()))
print(load_dataset("alice/messages")["test"][:])
"""


@pytest.mark.slow
def test_other_processes_push_and_load(hub: LoopbackHub, tmp_path: Path) -> None:
    printed: list[str] = []
    for number, program in enumerate((PUSH, LOAD)):
        environment = os.environ | hub.environment("hf_alice", tmp_path / str(number))
        command = [sys.executable, "-c", program]
        process = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
        printed += process.stdout.splitlines()
    pushed, loaded, split = printed
    assert (loaded, split) == (pushed, "{'text': ['Win!', 'Hello'], 'label': [1, 0]}")
    assert hub.is_private("alice/messages", "dataset")
    assert {"README.md", "data/train-00000-of-00001.parquet"} <= hub.files("alice/messages", "dataset").keys()
    assert {"config.json", "model.safetensors"} <= hub.files("alice/spam").keys()
    assert not hub.unknown
