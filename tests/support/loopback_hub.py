"""A Hugging Face Hub on loopback: the real clients push to it and load from it, in this process or in others.

Models and datasets with their commits, branches and LFS objects are kept in a folder, where a later server goes on;
tokens stay in memory. There are no tags, pull requests, Xet storage or dataset viewer: what has no route is answered 404
and listed in `unknown`. Statuses, codes and messages are the Hub's, save one: a card without metadata, of which the Hub
only warns, is refused.
"""

import base64
import codecs
import hashlib
import json
import os
import re
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any, Self
from urllib.parse import parse_qs, unquote

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from huggingface_hub.repocard_data import model_index_to_eval_results

Json = dict[str, Any]

LFS_SUFFIXES = (".safetensors", ".parquet", ".onnx", ".png", ".pdf", ".bin")
LFS_SIZE = 10_000_000  # bytes; larger files go to LFS whatever their name
CARD_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("license", "language", "datasets", "metrics", "base_model"), (str, list)),
    **dict.fromkeys(("pipeline_tag", "library_name", "license_name", "pretty_name"), str),
    **dict.fromkeys(("tags", "widget", "model-index", "configs", "task_categories"), list),
}


@dataclass
class Fault:
    """What goes wrong with requests of a method and a path (regular expressions); `skip` and `times` count down.

    After `delay` seconds the connection is closed without an answer (`hang_up`; of a PUT, half the body is read first),
    or the answer is `status`, or else what it would have been.
    """

    method: str
    pattern: str  # searched in the path as sent: still quoted, without its query
    status: int | None = None
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    hang_up: bool = False
    drip: float = 0.0  # seconds between two bytes of the answer, which is what it would have been
    skip: int = 0  # requests that match and pass unharmed first


class Refusal(Exception):
    """An answer other than success, from whose status and code the client chooses its exception."""

    def __init__(self, status: int, message: str, code: str = "", headers: Json | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status, self.body = status, {"error": message, **more}
        self.headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}) | (headers or {})


def git_oid(content: bytes) -> str:
    """The name that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_text(sample: bytes) -> bool:
    """Whether a file that begins so is text; the sample may end within a character."""
    try:
        return "\0" not in codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False


def read_card(text: str) -> tuple[Json, list[str]]:
    """The metadata of a README and what is wrong with it."""
    block = REGEX_YAML_BLOCK.search(text)
    try:
        card = yaml.safe_load(block[2]) if block else None
    except yaml.YAMLError as error:
        return {}, [f"YAML metadata cannot be parsed: {error}"]
    if not card or not isinstance(card, dict):
        return {}, ["empty or missing yaml metadata in repo card"]
    errors = [f'"{key}" has a wrong type' for key in card if not isinstance(card[key], CARD_TYPES.get(key, object))]
    try:
        model_index_to_eval_results(card.get("model-index", [{"name": "", "results": []}]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        errors.append(f'"model-index" is invalid: {error!r}')
    return card, errors


class Repository:
    """A repository's folder: `repo.json` with privacy, branches and commits, and `objects/` by git's name or SHA-256.

    A commit holds its whole tree, of which an entry is the Hub's: `oid` (git's name of the file, or of its LFS pointer),
    `size`, and of an LFS file `lfs` with the SHA-256 as its `oid`.
    """

    def __init__(self, folder: Path) -> None:
        self.kind, self.owner, self.name = folder.parts[-3:]
        self.id = f"{self.owner}/{self.name}"
        self.folder = folder
        self.file = folder / "repo.json"

    @property
    def state(self) -> Json:
        return json.loads(self.file.read_bytes())

    def save(self, state: Json) -> None:
        """Replace the state at once."""
        self.write(self.file, [json.dumps(state).encode()])

    def write(self, path: Path, pieces: Iterable[bytes]) -> str:
        """Write a file that nobody sees in part, and return its SHA-256."""
        digest, temporary = hashlib.sha256(), self.folder / uuid.uuid4().hex
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                for piece in pieces:
                    digest.update(piece)
                    file.write(piece)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        return digest.hexdigest()

    def object(self, entry: Json) -> Path:
        """Where the content of a file lies."""
        return self.folder / "objects" / entry.get("lfs", entry)["oid"]

    def add_regular(self, content: bytes) -> Json:
        """Store a file and return its entry."""
        entry = {"oid": git_oid(content), "size": len(content)}
        self.write(self.object(entry), [content])
        return entry

    def add_lfs(self, oid: str, size: int | None = None) -> Json:
        """The entry of an object that was uploaded before."""
        content = self.object({"oid": oid})
        if not content.is_file() or size not in (None, content.stat().st_size):
            raise Refusal(400, "Your push was rejected because an LFS pointer pointed to a file that does not exist.")
        size = content.stat().st_size
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()
        return {"oid": git_oid(pointer), "size": size, "lfs": {"oid": oid, "size": size, "pointerSize": len(pointer)}}

    def uploads(self, oid: str) -> Path:
        """The folder of an LFS object's parts; it stays, so that a request whose answer was lost can be repeated."""
        return self.folder / "uploads" / oid

    def assemble(self, oid: str) -> None:
        """Make an LFS object of its parts."""
        parts = sorted(self.uploads(oid).iterdir(), key=lambda path: int(path.name))
        received = self.folder / "uploads" / f"{oid}.whole"
        if self.write(received, (part.read_bytes() for part in parts)) != oid:
            raise Refusal(400, "The content does not have the announced SHA-256.")
        os.replace(received, self.object({"oid": oid}))

    def head(self, revision: str) -> Json:
        """The commit of a branch or of an id."""
        state = self.state
        commit_id = state["branches"].get(revision, revision)
        if commit_id not in state["commits"]:
            raise Refusal(404, "Invalid rev id", "RevisionNotFound")
        return state["commits"][commit_id]

    def history(self, revision: str) -> list[Json]:
        """The commits of a revision, newest first."""
        commits = [self.head(revision)]
        while parent := commits[-1]["parent"]:
            commits.append(self.head(parent))
        return commits

    def commit(self, state: Json, branch: str, header: Json, tree: Json) -> str:
        """Write a commit and move its branch there, both at once; return the commit's id."""
        commit = {"parent": state["branches"].get(branch), "title": header["summary"], "tree": tree}
        commit |= {"message": header.get("description", ""), "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"}
        commit["id"] = hashlib.sha1(json.dumps(commit).encode()).hexdigest()
        state["commits"][commit["id"]] = commit
        state["branches"][branch] = commit["id"]
        self.save(state)
        return commit["id"]

    def apply(self, branch: str, header: Json, changes: list[Json]) -> str:
        """Commit all changes or none, and return the commit's id."""
        state, parent = self.state, self.head(branch)
        tree = dict(parent["tree"])
        if branch not in state["branches"]:
            raise Refusal(404, "Invalid rev id: commits go to branches", "RevisionNotFound")
        if header.get("parentCommit") not in (None, parent["id"]):
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        for change in changes:
            key, value, path = change["key"], change["value"], change["value"]["path"]
            if key == "file":
                tree[path] = self.add_regular(base64.b64decode(value["content"]))
            elif key == "lfsFile":
                tree[path] = self.add_lfs(value["oid"], value.get("size"))
            else:
                inside = path.rstrip("/") + "/" if key == "deletedFolder" else None
                gone = [name for name in tree if (name.startswith(inside) if inside else name == path)]
                if not gone:
                    raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
                for name in gone:
                    del tree[name]
        return self.commit(state, branch, header, tree)


class LoopbackHub(ThreadingHTTPServer):
    """The server; `with LoopbackHub(folder) as hub` runs it in a thread.

    Attributes:
        tokens: The user of each token.
        readers: The tokens that may not write.
        faults: What goes wrong; to a request comes the first that matches and is not used up.
        requests: What was asked: method, path without its query, whether there was an Authorization header.
        unknown: What was asked that has no route: method and path.
        multipart_over: LFS objects of more bytes are uploaded in parts of so many.
    """

    daemon_threads = False  # closing waits for the answers in progress
    request_queue_size = 64

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.folder = folder
        self.tokens: dict[str, str] = {}
        self.readers: set[str] = set()
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, bool]] = []
        self.unknown: list[tuple[str, str]] = []
        self.multipart_over = 64 * 2**20
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of some tests; all else is a mistake here."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def environment(self, token: str | None, home: Path) -> dict[str, str]:
        """What sends another process's clients here, with their caches in a home of their own."""
        switches = dict.fromkeys(("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY"), "1")
        return {"HF_ENDPOINT": self.url, "HF_TOKEN": token or "", "HF_HOME": str(home), **switches}

    def repository(self, repo_id: str, kind: str = "model") -> Repository:
        """A repository, which need not exist."""
        return Repository(self.folder / kind / repo_id)

    def exists(self, repo_id: str, kind: str = "model") -> bool:
        return self.repository(repo_id, kind).file.is_file()

    def is_private(self, repo_id: str, kind: str = "model") -> bool:
        return self.repository(repo_id, kind).state["private"]

    def branches(self, repo_id: str, kind: str = "model") -> dict[str, str]:
        """The commit id of each branch."""
        return self.repository(repo_id, kind).state["branches"]

    def log(self, repo_id: str, kind: str = "model", revision: str = "main") -> list[str]:
        """The titles of the commits, newest first."""
        return [commit["title"] for commit in self.repository(repo_id, kind).history(revision)]

    def files(self, repo_id: str, kind: str = "model", revision: str = "main") -> dict[str, bytes]:
        """The content of each path."""
        repository = self.repository(repo_id, kind)
        tree = repository.head(revision)["tree"]
        return {path: repository.object(entry).read_bytes() for path, entry in tree.items()}


class _Handler(BaseHTTPRequestHandler):
    server: LoopbackHub
    timeout = 30  # seconds that a client may stall

    def _serve(self) -> None:
        hub, (path, _, query) = self.server, self.path.partition("?")
        self.query, self.pieces = parse_qs(query), self._read()
        with hub.lock:
            hub.requests.append((self.command, path, "Authorization" in self.headers))
            fault = self._fault(path)
        if fault and hub.closing.wait(fault.delay):
            pass
        elif fault and fault.hang_up:
            self.rfile.read(int(self.headers.get("Content-Length", 0)) // 2 if self.command == "PUT" else 0)
        elif fault and fault.status:
            self._answer(fault.status, fault.body, fault.headers)
        else:
            try:
                answer = self._route(path)
            except Refusal as refusal:
                answer = refusal.status, refusal.body, refusal.headers
            self._answer(*answer, fault.drip if fault else 0.0)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _fault(self, path: str) -> Fault | None:
        for fault in self.server.faults:
            if fault.times and re.fullmatch(fault.method, self.command) and re.search(fault.pattern, path):
                if not fault.skip:
                    fault.times -= 1
                    return fault
                fault.skip -= 1
        return None

    def _route(self, path: str) -> tuple[int, object, Mapping[str, str]]:
        self.body = b"" if self.command == "PUT" else b"".join(self.pieces)  # before the lock: a client may be slow
        for pattern, access, function in ROUTES:
            match = re.fullmatch(pattern, f"{self.command} {path}")
            if match and "create_pr" not in self.query:
                named: Json = {name: unquote(text) for name, text in match.groupdict().items() if text}
                with self.server.lock if access == "write" else nullcontext():
                    if "repo_id" in named:
                        named["repository"] = self._open(named.pop("repo_id"), named.pop("kind", "model"), access)
                    value = function(self, **named)
                return value if isinstance(value, tuple) else (200, value, {})
        self.server.unknown.append((self.command, path))
        raise Refusal(404, "Sorry, we can't find the page you are looking for.")

    def _read(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read(min(left, 2**20))
            if not piece:
                raise ConnectionError("the client hung up")
            left -= len(piece)
            yield piece

    def _answer(self, status: int, value: object, headers: Mapping[str, str], drip: float = 0.0) -> None:
        for _ in self.pieces:  # a client that is still sending would not see the answer
            pass
        content = value if isinstance(value, bytes) else json.dumps(value, default=str).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command == "HEAD":
            return
        for byte in content if drip else b"":
            if self.server.closing.wait(drip):
                return
            self.wfile.write(bytes([byte]))
        self.wfile.write(b"" if drip else content)

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _user(self, write: bool = False) -> str:
        """The user of the request's token; empty without a token."""
        user = self.server.tokens.get(self._token(), "")
        if not user and (write or self._token()):
            wrong = "Invalid username or password." if write else "Invalid credentials in Authorization header"
            raise Refusal(401, wrong)
        if write and self._token() in self.server.readers:
            raise Refusal(403, "you must use a write token to upload to a repository.")
        return user

    def _open(self, repo_id: str, kind: str, access: str) -> Repository:
        repository = self.server.repository(repo_id, kind)
        if access != "upload":  # what an LFS batch announced is sent without a token, as to the Hub's signed addresses
            user = self._user(access == "write")
            if not repository.file.is_file() or (repository.state["private"] and user != repository.owner):
                raise Refusal(404 if user else 401, "Repository not found", "RepoNotFound")
            if access == "write" and user != repository.owner:
                raise Refusal(403, f"You don't have the rights to write to {repo_id}")
        return repository

    def _address(self, repository: Repository) -> str:
        return f"{self.server.url}/{'datasets/' if repository.kind == 'dataset' else ''}{repository.id}"

    def _who_am_i(self) -> Json:
        name, role = self._user(), "read" if self._token() in self.server.readers else "write"
        if not name:
            raise Refusal(401, "Invalid username or password.")
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
        return {"type": "user", "id": name, "name": name, "fullname": name, "isPro": False, "orgs": [], "auth": auth}

    def _create(self) -> Json:
        user, wanted = self._user(write=True), json.loads(self.body)
        owner, kind = wanted.get("organization") or user, wanted.get("type") or "model"
        if kind not in ("model", "dataset") or not re.fullmatch(ID, f"{owner}/{wanted['name']}"):
            raise Refusal(400, f"Invalid {kind} name")
        if owner != user:
            raise Refusal(403, f'You don\'t have the rights to create a {kind} under the namespace "{owner}"')
        repository = self.server.repository(f"{owner}/{wanted['name']}", kind)
        if repository.file.is_file():
            raise Refusal(409, f"You already created this {kind} repo", url=self._address(repository))
        rules = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()
        state = {
            "private": wanted.get("visibility") == "private" or bool(wanted.get("private")),
            "branches": {},
            "commits": {},
        }
        tree = {".gitattributes": repository.add_regular(rules)}
        repository.commit(state, "main", {"summary": "initial commit"}, tree)
        return {"url": self._address(repository), "name": repository.id, "id": repository.id}

    def _validate_card(self) -> Json:
        errors = [{"message": message} for message in read_card(json.loads(self.body)["content"])[1]]
        if errors:
            raise Refusal(400, "Invalid metadata in README.md", errors=errors, warnings=[])
        return {"errors": [], "warnings": []}

    def _info(self, repository: Repository, revision: str = "main") -> Json:
        commits = repository.history(revision)
        tree: Json = commits[0]["tree"]
        card: Json = {}
        if "README.md" in tree:
            card = read_card(repository.object(tree["README.md"]).read_text(errors="replace"))[0]
        siblings: list[Json] = [{"rfilename": path} for path in tree]
        for sibling in siblings if "blobs" in self.query else []:
            entry = tree[sibling["rfilename"]]
            sibling |= {"size": entry["size"], "blobId": entry["oid"]}
            sibling |= {"lfs": {**entry["lfs"], "sha256": entry["lfs"]["oid"]}} if "lfs" in entry else {}
        info = {"id": repository.id, "author": repository.owner, "sha": commits[0]["id"], "siblings": siblings}
        info |= {"private": repository.state["private"], "gated": False, "disabled": False, "downloads": 0, "likes": 0}
        info |= {"createdAt": commits[-1]["date"], "lastModified": commits[0]["date"], "cardData": card}
        named = {key: card[key] for key in ("pipeline_tag", "library_name", "model-index") if key in card}
        return info | {"tags": card.get("tags") or []} | (named if repository.kind == "model" else {})

    def _refs(self, repository: Repository) -> Json:
        heads = repository.state["branches"].items()
        branches = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": head} for name, head in heads]
        return {"branches": branches, "converts": [], "tags": [], "pullRequests": []}

    def _commits(self, repository: Repository, revision: str) -> list[Json]:
        shown, authors = ("id", "title", "message", "date"), [{"user": repository.owner}]
        return [{key: commit[key] for key in shown} | {"authors": authors} for commit in repository.history(revision)]

    def _entries(self, repository: Repository, revision: str) -> dict[str, Json]:
        tree = repository.head(revision)["tree"]
        folders = {str(parent) for path in tree for parent in PurePosixPath(path).parents} - {"."}
        entries: dict[str, Json] = {path: {"type": "file", "path": path, **tree[path]} for path in tree}
        for path in folders:
            entries[path] = {"type": "directory", "path": path, "oid": git_oid(path.encode()), "size": 0}
        return dict(sorted(entries.items()))

    def _tree(self, repository: Repository, revision: str, path: str = "") -> list[Json]:
        entries, inside = self._entries(repository, revision), f"{path}/" if path else ""
        if path and entries.get(path, {}).get("type") != "directory":
            raise Refusal(404, "Entry not found", "EntryNotFound")
        deep = self.query.get("recursive", [""])[0].lower() in ("true", "1")
        names = [name for name in entries if name.startswith(inside)]
        return [entries[name] for name in names if deep or "/" not in name.removeprefix(inside)]

    def _paths_info(self, repository: Repository, revision: str) -> list[Json]:
        entries = self._entries(repository, revision)
        return [entries[path] for path in parse_qs(self.body.decode()).get("paths", []) if path in entries]

    def _resolve(self, repository: Repository, revision: str, path: str) -> tuple[int, object, Mapping[str, str]]:
        commit = repository.head(revision)
        headers = {"X-Repo-Commit": commit["id"], "Accept-Ranges": "bytes"}
        if path not in commit["tree"]:
            raise Refusal(404, "Entry not found", "EntryNotFound", headers)
        entry = commit["tree"][path]
        content, size = repository.object(entry), entry["size"]
        headers["ETag"] = f'"{content.name}"'
        if "lfs" in entry:
            headers |= {"X-Linked-Etag": f'"{content.name}"', "X-Linked-Size": str(size)}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            return 200, content.read_bytes(), headers
        start, last = int(wanted[1]), min(int(wanted[2] or size - 1), size - 1)
        if start > last:
            raise Refusal(416, "Range Not Satisfiable", headers={"Content-Range": f"bytes */{size}"})
        return 206, content.read_bytes()[start : last + 1], headers | {"Content-Range": f"bytes {start}-{last}/{size}"}

    def _branch(self, repository: Repository, branch: str) -> Json:
        state = repository.state
        if branch in state["branches"]:
            raise Refusal(409, "Reference already exists")
        state["branches"][branch] = repository.head(json.loads(self.body).get("startingPoint", "main"))["id"]
        repository.save(state)
        return {}

    def _preupload(self, repository: Repository, revision: str) -> Json:
        tree, files = repository.head(revision)["tree"], json.loads(self.body)["files"]
        for file in files:
            path, sample = file["path"], base64.b64decode(file.pop("sample"))
            lfs = file["size"] > LFS_SIZE or path.endswith(LFS_SUFFIXES) or not is_text(sample)
            oid = repository.object(tree[path]).name if path in tree else None
            file |= {"uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False, "oid": oid}
        return {"files": files}

    def _commit(self, repository: Repository, revision: str) -> Json:
        header, *changes = [json.loads(line) for line in self.body.splitlines()]
        commit_id = repository.apply(revision, header["value"], changes)
        url = f"{self._address(repository)}/commit/{commit_id}"
        return {"success": True, "commitOid": commit_id, "commitUrl": url, "hookOutput": ""}

    def _lfs_batch(self, repository: Repository) -> Json:
        objects: list[Json] = [{"oid": file["oid"], "size": file["size"]} for file in json.loads(self.body)["objects"]]
        for file in objects:
            if repository.object(file).is_file():
                continue
            repository.uploads(file["oid"]).mkdir(parents=True, exist_ok=True)
            address = f"{self.server.url}/lfs/{repository.kind}/{repository.id}/{file['oid']}"
            upload: Json = {"href": f"{address}/0"}
            if file["size"] > (chunk := self.server.multipart_over):
                parts = {str(part): f"{address}/{part}" for part in range(1, -(-file["size"] // chunk) + 1)}
                upload = {"href": f"{address}/complete", "header": {"chunk_size": str(chunk), **parts}}
            file["actions"] = {"upload": upload, "verify": {"href": f"{address}/verify"}}
        return {"transfer": "basic", "objects": objects}

    def _lfs_put(self, repository: Repository, oid: str, part: str) -> tuple[int, object, Mapping[str, str]]:
        if not repository.uploads(oid).is_dir():
            raise Refusal(403, "This upload was not announced.")
        etag = repository.write(repository.uploads(oid) / part, self.pieces)
        if part == "0":
            self._lfs_complete(repository, oid)
        return 200, {}, {"ETag": f'"{etag}"'}

    def _lfs_complete(self, repository: Repository, oid: str) -> Json:
        with self.server.lock:
            repository.assemble(oid)
        return {}

    def _lfs_verify(self, repository: Repository, oid: str) -> Json:
        repository.add_lfs(oid, json.loads(self.body)["size"])
        return {}


ID = r"(?P<repo_id>[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*)"
API = rf"/api/(?P<kind>model|dataset)s/{ID}"
PAGE = rf"/((?P<kind>dataset)s/)?{ID}"
LFS = rf"/lfs/(?P<kind>model|dataset)/{ID}/(?P<oid>[0-9a-f]{{64}})"
REVISION = r"(?P<revision>[^/]+)"
ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    (r"GET /api/whoami-v2", "", _Handler._who_am_i),
    (r"POST /api/repos/create", "write", _Handler._create),
    (r"POST /api/validate-yaml", "", _Handler._validate_card),
    (rf"GET {API}(/revision/{REVISION})?", "read", _Handler._info),
    (rf"GET {API}/refs", "read", _Handler._refs),
    (rf"GET {API}/commits/{REVISION}", "read", _Handler._commits),
    (rf"GET {API}/tree/{REVISION}(/(?P<path>.+))?", "read", _Handler._tree),
    (rf"POST {API}/paths-info/{REVISION}", "read", _Handler._paths_info),
    (rf"(GET|HEAD) {PAGE}/resolve/{REVISION}/(?P<path>.+)", "read", _Handler._resolve),
    (rf"POST {API}/branch/(?P<branch>[^/]+)", "write", _Handler._branch),
    (rf"POST {API}/preupload/{REVISION}", "write", _Handler._preupload),
    (rf"POST {API}/commit/{REVISION}", "write", _Handler._commit),
    (rf"POST {PAGE}\.git/info/lfs/objects/batch", "write", _Handler._lfs_batch),
    (rf"PUT {LFS}/(?P<part>\d+)", "upload", _Handler._lfs_put),
    (rf"POST {LFS}/complete", "upload", _Handler._lfs_complete),
    (rf"POST {LFS}/verify", "write", _Handler._lfs_verify),
]
