"""What a push does not give away: secrets, places on the machine, files of somebody else.   pytest tests/hub/test_privacy.py"""

import json
import os
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strange_folders import write_run

from hf_spam import UserError
from hf_spam.hub.contents import MODEL_FILES, model_contents
from hf_spam.hub.privacy import public_options

Run = Callable[..., tuple[int, str, str]]
alphanumeric = string.ascii_letters + string.digits


def drawn(alphabet: str, least: int, most: int) -> st.SearchStrategy[str]:
    """Characters in no order, as a machine draws them: of several kinds."""
    return st.randoms(use_true_random=False).flatmap(
        lambda random: st.integers(least, most).map(lambda size: "".join(random.choice(alphabet) for _ in range(size)))
    )


tokens = st.one_of(
    drawn(alphanumeric, 34, 34).map("hf_{}".format),
    drawn(alphanumeric, 20, 48).map("sk-{}".format),
    drawn(alphanumeric, 36, 36).map("ghp_{}".format),
    drawn(string.ascii_uppercase + string.digits, 16, 16).map("AKIA{}".format),
    drawn(alphanumeric, 40, 60).map("eyJhbGciOiJIUzI1NiJ9.{}.c2ln".format),
    st.binary(min_size=16, max_size=16).map(lambda data: (b"\x93\x1f" + data).hex()),
    drawn(alphanumeric, 40, 40),
    drawn(alphanumeric + "-_", 43, 43),
    st.uuids().map(str),
    st.just("AIzaSyA1234567890abcdefg"),
)
places = st.sampled_from(
    [
        "/home/alice/secret",
        "/Users/alice/x y.csv",
        "C:\\Users\\alice\\run",
        "~/private/run",
        "../alice/run",
        "\\\\server\\alice\\x",
        "file:///home/alice/run",
        "https://alice:pass@host/x",
        "https://host/x?sig=aaaaaaaa",
        "s3://bucket/alice/x",
        "alice@host:run",
        "--data /home/alice/x",
        "a,/home/alice/b",
    ]
)
secret_names = st.sampled_from(
    [
        "hub_token",
        "API_KEY",
        "apiKey",
        "aws-secret-access-key",
        "Password",
        "db_passwd",
        "credentials",
        "auth",
        "TOKEN",
        "run_command",
        "x_Token_y",
    ]
)
words = st.sampled_from(
    ["cosine", "adamw_torch_fused", "last_block", "quickstart", "no", "bf16", "uci", "cosine_with_min_lr", "hf_spam"]
)
plain = st.one_of(st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False), words)
names = st.sampled_from(
    ["a", "learning_rate", "lr_scheduler_kwargs", "data_file", "model_path", "log_dir", "optim_args"]
)


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
        max_leaves=12,
    )


@given(st.data())
def test_no_planted_secret_is_public(data: st.DataObject) -> None:
    secret = data.draw(tokens)
    where = data.draw(st.sampled_from(["{}", "a {} b", "x={}", "/home/alice/{}", "https://host/{}"]))
    value = data.draw(nested(st.one_of(plain, st.just(where.format(secret)))))
    key = data.draw(st.sampled_from(["a", secret]))
    assert secret not in json.dumps(public_options({"options": value, key: where.format(secret)}))


@given(st.data())
def test_no_value_of_a_secret_name_is_public(data: st.DataObject) -> None:
    value = data.draw(
        nested(st.one_of(plain, st.just("swordfish"), st.dictionaries(secret_names, st.just("swordfish"))))
    )
    public = public_options({data.draw(secret_names): value, "a": {data.draw(secret_names): "swordfish"}})
    assert "swordfish" not in json.dumps(public)


@given(places, st.data())
def test_no_place_is_public(place: str, data: st.DataObject) -> None:
    public = json.dumps(public_options({"a": data.draw(nested(st.one_of(plain, st.just(place))))}))
    assert "alice" not in public
    assert "/" not in public
    assert "sig" not in public


@given(st.dictionaries(names, nested(plain)))
def test_what_is_plain_stays(options: dict[str, Any]) -> None:
    assert public_options(options) == options


@pytest.mark.parametrize(
    ("value", "public"),
    [
        ("/home/alice/mine.csv", "mine.csv"),
        ("C:\\alice\\mine.csv", "mine.csv"),
        ("data/", "data"),
        ("sms-spam-2024.csv", "sms-spam-2024.csv"),
        ("TransformerEncoderLayer", "TransformerEncoderLayer"),
        (1e-3, 1e-3),
        ([1, "/a/b", None], [1, "b", None]),
    ],
)
def test_what_becomes_of_a_value(value: object, public: object) -> None:
    assert public_options({"value": value}) == {"value": public}


def test_nothing_is_too_deep() -> None:
    value: Any = "/home/alice"
    for _ in range(900):
        value = [value]
    assert "alice" not in json.dumps(public_options({"a": value}))


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tiny_run: Callable[[str], Path], tmp_path: Path) -> Path:
    """A run of the user's own."""
    write_run(tmp_path / "run", tiny_run("last_token"))
    return tmp_path / "run"


KINDS = ["link", "broken link", "link to a folder", "folder", "pipe"]
FILES = [
    pattern.replace("*", "-00001-of-00002" if pattern.startswith("model") else "loss")
    for pattern in ("README.md", *MODEL_FILES)
]


def put(kind: str, path: Path, secret: Path) -> None:
    """Put something else in a file's place."""
    path.unlink(missing_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"link": secret, "broken link": secret / "none", "link to a folder": secret.parent}[kind])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_only_regular_files_are_pushed(folder: Path, kind: str, name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("SECRET")
    put(kind, folder / name, secret)
    with pytest.raises(UserError, match=r"expected a (regular )?file") as error:
        model_contents(folder, "alice/spam")
    assert f"{folder / name}: " in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_is_copied_through_a_link(folder: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("SECRET")
    put("link", folder / "loss-plot.png", tmp_path / "secret")
    code, _, error = run("push", folder, "alice/spam", "--output_dir", tmp_path / "out")
    assert (code, (tmp_path / "out").exists()) == (2, False), error


@pytest.mark.parametrize(
    "name", ["config.json", "metrics.json", "tokenizer_config.json", "generation_config.json", "README.md"]
)
@pytest.mark.parametrize("what", ["folder", "home", "token", "path", "windows path", "their token"])
def test_what_texts_must_not_hold(folder: Path, name: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "swordfish-in-the-sea")
    monkeypatch.setenv("HOME", "/home/somebody")
    text = {
        "folder": str(folder), "home": "/home/somebody/x", "token": "swordfish-in-the-sea", "path": "/data/projects/x",
        "windows path": "C:\\data\\x", "their token": "hf_" + "aB3" * 11,
    }[what]  # fmt: skip
    if what in ("path", "windows path", "their token") and not name.endswith(".json"):
        return  # anybody's words
    if name.endswith(".json"):
        record = json.loads((folder / name).read_text()) if (folder / name).is_file() else {}
        (folder / name).write_text(json.dumps({**record, "extra": [{"note": text}]}))
    else:
        (folder / name).write_text(f"# {text}\n")
    with pytest.raises(UserError, match=f"^{name}: refused, ") as error:
        model_contents(folder, "alice/spam")
    assert "swordfish" not in str(error.value)


def test_nested_options_of_a_run(folder: Path) -> None:
    record = json.loads((folder / "arguments.json").read_text())
    record |= {
        "lr_scheduler_kwargs": {"path": "/home/alice/x", "api_key": "swordfish", "power": 2.0},
        "log_file": "/home/alice/log",
    }
    (folder / "arguments.json").write_text(json.dumps(record))
    pushed = model_contents(folder, "alice/spam")
    sent = json.loads(pushed["arguments.json"])  # type: ignore[arg-type]
    assert sent["lr_scheduler_kwargs"] == {"path": "x", "power": 2.0}
    assert sent["log_file"] == "log"
    for name, content in pushed.items():
        if isinstance(content, bytes):
            assert b"alice/x" not in content, name
            assert b"swordfish" not in content, name
