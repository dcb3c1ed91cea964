"""Pushing to a Hub on loopback: what arrives, what goes wrong and what is left then, and that no token gets out.

pytest tests/hub/test_push.py
"""

import hashlib
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import torch
from datasets import Dataset, DatasetDict
from huggingface_hub import DatasetCard, HfApi, ModelCard
from support.loopback_hub import Fault, LoopbackHub
from support.warm_process import WarmProcess
from transformers import GPT2Tokenizer

import hf_spam.hub.repository
from hf_spam import SpamGPTConfig, SpamGPTForCausalLM, UserError
from hf_spam.hub.repository import Repository
from hf_spam.training.arguments import SpamTrainingArguments

# The client sends a file in a way of which its own HTTP library disapproves.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

Run = Callable[..., tuple[int, str, str]]
REPOSITORY = "alice/spam"
TWO_STEPS = ["train", "--preset", "quickstart", "--model_size", "tiny", "--max_steps", "2", "--disable_tqdm", "true"]
CODE = {
    "configuration_spam_gpt.py",
    "fields_spam_gpt.py",
    "gpt.py",
    "layers_spam_gpt.py",
    "pooling_spam_gpt.py",
    "backbone_spam_gpt.py",
    "modeling_spam_gpt.py",
}
MODEL = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "manifest.json", *CODE}
PLOTS = {f"{name}-plot.{kind}" for name in ("loss", "accuracy", "confusion") for kind in ("png", "pdf")}
INITIAL = {".gitattributes"}


@pytest.fixture(scope="module")
def trained(tiny_run: Callable[[str], Path]) -> Path:
    """A run with its checkpoints, which are nobody else's business."""
    folder = tiny_run("sample")
    assert list(folder.glob("checkpoint-*"))
    return folder


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client does not wait before it tries again, and we have no patience either."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setattr(hf_spam.hub.repository, "TIMEOUT", 0.5)


def test_what_arrives(hub: LoopbackHub, run: Run, trained: Path) -> None:
    code, output, error = run("push", trained, REPOSITORY)
    assert code == 0, error
    stored = hub.files(REPOSITORY)
    assert set(stored) == {*INITIAL, *MODEL, *PLOTS, "README.md", "metrics.json", "arguments.json"}
    for name in set(stored) - {*INITIAL, "README.md", "arguments.json", "manifest.json"}:
        assert stored[name] == (trained / name).read_bytes(), name
    listed = json.loads(stored["manifest.json"])["files"]
    assert set(listed) == set(stored) - {*INITIAL, "README.md", "manifest.json"}
    assert all(listed[name]["sha256"] == hashlib.sha256(stored[name]).hexdigest() for name in listed)
    assert hub.log(REPOSITORY) == ["Upload run with hf_spam", "initial commit"]
    assert f"pushed to {hub.url}/{REPOSITORY}/commit/{hub.branches(REPOSITORY)['main']}" in output
    assert not hub.is_private(REPOSITORY)
    assert hub.unknown == []

    code, again, _ = run("push", trained, REPOSITORY)  # nothing has changed
    assert (code, again) == (0, output)
    assert len(hub.log(REPOSITORY)) == 2


def test_private_on_a_branch_with_a_message(hub: LoopbackHub, run: Run, trained: Path) -> None:
    options = ["--private", "true", "--revision", "trial", "--commit_message", "the first"]
    code, _, error = run("push", trained, "spam", *options)  # a name alone is one of alice's
    assert code == 0, error
    assert hub.is_private(REPOSITORY)
    assert set(hub.branches(REPOSITORY)) == {"main", "trial"}
    assert hub.log(REPOSITORY, revision="trial") == ["the first", "initial commit"]
    assert set(hub.files(REPOSITORY)) == INITIAL
    card = hub.files(REPOSITORY, revision="trial")["README.md"].decode()
    assert f'model="{REPOSITORY}"' in card  # its owner's name, which was not given


def test_what_is_public_is_not_taken_for_private(hub: LoopbackHub, run: Run, trained: Path) -> None:
    HfApi(token="hf_alice").create_repo(REPOSITORY)
    code, _, error = run("push", trained, REPOSITORY, "--private", "true")
    assert (code, set(hub.files(REPOSITORY))) == (2, INITIAL)
    assert f"hf-spam: error: {REPOSITORY}: expected a private repository, found a public one." in error


def test_dry_run(hub: LoopbackHub, run: Run, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Needs neither token nor network, and lists exactly what a push sends."""
    monkeypatch.delenv("HF_TOKEN")
    code, output, error = run("push", trained, REPOSITORY, "--dry_run", "true")
    assert (code, hub.requests) == (0, []), error
    *lines, total, last = output.splitlines()
    sizes = {name: int(size.replace(",", "")) for name, size in map(str.split, lines)}
    assert last == f"would go to the public model repository {REPOSITORY}, branch main; nothing was sent"
    assert total.split() == [str(len(sizes)), "files", f"{sum(sizes.values()):,}", "bytes"]

    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    assert run("push", trained, REPOSITORY)[0] == 0
    assert {name: len(content) for name, content in hub.files(REPOSITORY).items() if name not in INITIAL} == sizes


def test_read_and_edited_before_it_is_pushed(hub: LoopbackHub, run: Run, trained: Path, tmp_path: Path) -> None:
    """--output_dir writes what would be sent; a README.md in the folder is the user's, and goes as it is."""
    folder = tmp_path / "to-read"
    code, output, error = run("push", trained, REPOSITORY, "--output_dir", folder)
    assert (code, hub.requests) == (0, []), error
    assert f"written to {folder}" in output
    card = folder / "README.md"
    card.write_text(card.read_text() + "\nThe cat likes it.\n")
    assert run("push", folder, REPOSITORY)[0] == 0
    stored = hub.files(REPOSITORY)
    assert {name: stored[name] for name in set(stored) - {*INITIAL, "manifest.json"}} == {
        path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"
    }
    code, _, error = run("push", trained, REPOSITORY, "--output_dir", folder)
    assert code == 2
    assert "Choose another --output_dir" in error


def test_options_of_the_machine_stay_there(run: Run, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    options = json.loads((folder / "arguments.json").read_text())
    del options["data_source"]
    secret = {"data_file": "/home/alice/private/mine.csv", "cache_dir": "/home/alice/cache", "hub_model_id": "a/b"}
    secret |= {"output_dir": "/home/alice/run", "bpe_dir": "C:\\alice\\bpe", "hub_token": "hf_alice"}
    (folder / "arguments.json").write_text(json.dumps({**options, **secret}))
    agreement = {"int8": False, "messages_of": "all", "messages": 1, "changed": 0, "score_difference": 0.0}
    (folder / "agreement.json").write_text(json.dumps({"model": "/home/alice/run", **agreement}))
    (folder / "notes.txt").write_text("for alice alone")
    assert run("push", folder, REPOSITORY, "--output_dir", tmp_path / "out")[0] == 0
    public = json.loads((tmp_path / "out" / "arguments.json").read_text())
    assert public["data_file"] == "mine.csv"
    assert public["learning_rate"] == options["learning_rate"]
    assert not {"cache_dir", "output_dir", "bpe_dir", "hub_token", "hub_model_id"} & set(public)
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    for word in (b"/home/", b"hf_alice", b"for alice alone", b"alice\\"):
        assert word not in written
    assert not list((tmp_path / "out").glob("checkpoint*"))


@pytest.mark.parametrize(
    ("repository", "message"),
    [
        ("alice/spam/filter", "expected a repository as OWNER/NAME: "),
        ("alice/sp am", "expected a repository as OWNER/NAME: "),
        ("bob/spam", "HTTP status 403"),
    ],
)
def test_a_repository_that_cannot_be(hub: LoopbackHub, run: Run, trained: Path, repository: str, message: str) -> None:
    code, output, error = run("push", trained, repository)
    assert (code, output) == (2, "")
    assert message in error


def test_folders_that_hold_no_model(
    hub: LoopbackHub, run: Run, trained: Path, gpt2_folder: Path, tmp_path: Path
) -> None:
    weightless, outdated = tmp_path / "weightless", tmp_path / "outdated"
    shutil.copytree(trained, weightless)
    (weightless / "model.safetensors").unlink()
    shutil.copytree(trained, outdated)
    metrics = json.loads((outdated / "metrics.json").read_text())
    del metrics["training"]["options"]
    (outdated / "metrics.json").write_text(json.dumps(metrics))
    for folder, message in {
        tmp_path / "none": "expected a folder with a model, found none",
        weightless: "expected weights in model.safetensors, found none",
        gpt2_folder: "expected a model saved by hf-spam train or hf-spam export",
        outdated: "expected a record written by this version of hf_spam",
    }.items():
        code, _, error = run("push", folder, REPOSITORY)
        assert code == 2
        assert message in error
    assert hub.requests == []


def test_without_a_token(hub: LoopbackHub, run: Run, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    code, _, error = run("push", trained, REPOSITORY)
    assert (code, hub.requests) == (2, [])
    assert "needs a token with write access, found none. Run hf auth login, or set HF_TOKEN." in error


COMMIT, UNKNOWN = "/commit/main", "It is unknown whether the commit was made; run the same command again to find out."
ALWAYS = 99
NOT_YET = "Nothing was published."
# Where it goes wrong; how; what the user reads.
FAULTS = {
    "create 401": (Fault("POST", "/repos/create", 401), ["401", "hf auth login", NOT_YET]),
    "create 403": (Fault("POST", "/repos/create", 403), ["403", "no write access there", "/settings/tokens", NOT_YET]),
    "create 500": (Fault("POST", "/repos/create", 500), ["500", "an internal error", NOT_YET]),
    "create hangs up": (Fault("POST", "/repos/create", hang_up=True), ["no connection to http", NOT_YET]),
    "create is slow": (Fault("POST", "/repos/create", delay=5), ["no answer within 0.5 seconds", NOT_YET]),
    "branch 409": (Fault("POST", "/preupload/", 409), ["409", "Somebody else is changing it right now", NOT_YET]),
    "card refused": (Fault("POST", "/validate-yaml", 400, body=b'{"errors": [{"message": "no license"}]}'), ["no license", NOT_YET]),
    "preupload 429": (Fault("POST", "/preupload/", 429, ALWAYS, {"RateLimit": '"api";r=0;t=55'}), ["429", "try again in 55 seconds", NOT_YET]),
    "preupload 404": (Fault("POST", "/preupload/", 404), ["404", "no such repository or branch", NOT_YET]),
    "no JSON": (Fault("POST", "/preupload/", 200, body=b"<html>a proxy's</html>"), ["JSONDecodeError", NOT_YET]),
    "batch 503": (Fault("POST", "/objects/batch", 503, ALWAYS), ["503", "try again later", NOT_YET]),
    "put 403": (Fault("PUT", "", 403), ["403", NOT_YET]),
    "put 500": (Fault("PUT", "", 500, ALWAYS), ["500", "an internal error", NOT_YET]),
    "put hangs up": (Fault("PUT", "", times=ALWAYS, hang_up=True), ["no connection to http", NOT_YET]),
    "put is slow": (Fault("PUT", "", times=ALWAYS, delay=5), ["no answer within 0.5 seconds", NOT_YET]),
    "the second put": (Fault("PUT", "", 500, ALWAYS, skip=1), ["500", NOT_YET]),
    "verify 500": (Fault("POST", "/verify", 500, ALWAYS), ["500", NOT_YET]),
    "commit 401": (Fault("POST", COMMIT, 401), ["401", NOT_YET]),
    "commit 403": (Fault("POST", COMMIT, 403, body=b'{"error": "Over your storage quota"}'), ["403", "(Over your storage quota)", NOT_YET]),
    "commit 409": (Fault("POST", COMMIT, 409), ["409", "Somebody else is changing it right now", NOT_YET]),
    "commit 412": (Fault("POST", COMMIT, 412), ["412", "Somebody else has changed it in the meantime", NOT_YET]),
    "commit 413": (Fault("POST", COMMIT, 413), ["413", "The Hub refuses", NOT_YET]),
    "commit 429": (Fault("POST", COMMIT, 429, headers={"Retry-After": "7"}), ["429", "try again in 7 seconds", NOT_YET]),
    "commit 500": (Fault("POST", COMMIT, 500), ["500", UNKNOWN]),
    "commit 504": (Fault("POST", COMMIT, 504), ["504", UNKNOWN]),
    "commit hangs up": (Fault("POST", COMMIT, hang_up=True), ["no connection to http", UNKNOWN]),
}  # fmt: skip


OLD_CLIENT = pytest.mark.skipif(huggingface_hub.__version__.startswith("1."), reason="it reports either upload")
QUICK = {"create 401", "put hangs up", "commit 403", "commit 500"}


def marks_of(fault: str) -> list[pytest.MarkDecorator]:
    """By default one fault of each way to fail."""
    return [*([OLD_CLIENT] if fault == "the second put" else []), *([] if fault in QUICK else [pytest.mark.slow])]


@pytest.mark.parametrize(
    ("fault", "said"), [pytest.param(*case, id=name, marks=marks_of(name)) for name, case in FAULTS.items()]
)
def test_a_failure_publishes_nothing_and_a_retry_completes(
    hub: LoopbackHub, run: Run, trained: Path, at_once: None, fault: Fault, said: list[str]
) -> None:
    hub.faults = [Fault(**vars(fault))]
    code, output, error = run("push", trained, REPOSITORY)
    assert (code, output) == (2, "")
    told = [line for line in error.splitlines() if line.startswith("hf-spam: error: ")]
    assert len(told) == 1
    assert f"could not push to {REPOSITORY}: " in told[0]
    for part in said:
        assert part in told[0]
    assert "Traceback" not in error
    if hub.exists(REPOSITORY):
        assert (set(hub.files(REPOSITORY)), hub.log(REPOSITORY)) == (INITIAL, ["initial commit"])

    hub.faults.clear()
    before = len(hub.requests)
    assert run("push", trained, REPOSITORY)[0] == 0
    assert hub.files(REPOSITORY)["model.safetensors"] == (trained / "model.safetensors").read_bytes()
    assert hub.log(REPOSITORY) == ["Upload run with hf_spam", "initial commit"]
    arrived = {path for method, path, _ in hub.requests[:before] if method == "POST" and path.endswith("verify")}
    assert "commit" not in fault.pattern or arrived
    sent_again = [path for method, path, _ in hub.requests[before:] if method == "PUT"]
    assert "commit" not in fault.pattern or sent_again == []


@pytest.mark.parametrize("pattern", ["/preupload/", "/objects/batch", "/verify"])
def test_a_passing_failure_is_not_even_noticed(
    hub: LoopbackHub, run: Run, trained: Path, at_once: None, pattern: str
) -> None:
    hub.faults = [Fault("POST", pattern, 503, times=2)]
    assert run("push", trained, REPOSITORY)[0] == 0
    assert len(hub.log(REPOSITORY)) == 2


def test_a_commit_whose_answer_is_lost(hub: LoopbackHub, run: Run, trained: Path, at_once: None) -> None:
    """It was made, and the second push finds that out instead of making another."""
    hub.faults = [Fault("POST", COMMIT, delay=1.0)]
    code, _, error = run("push", trained, REPOSITORY)
    assert code == 2
    assert f"no answer within 0.5 seconds. Try again. {UNKNOWN}" in error
    assert run("push", trained, REPOSITORY)[0] == 0
    assert hub.log(REPOSITORY) == ["Upload run with hf_spam", "initial commit"]


def test_patience_is_given_back(hub: LoopbackHub, run: Run, trained: Path) -> None:
    client = huggingface_hub.get_session()
    before = client.timeout
    assert run("push", trained, "bob/spam")[0] == 2
    assert huggingface_hub.get_session().timeout == before
    assert hf_spam.hub.repository.TIMEOUT == 60


def test_a_killed_push_publishes_nothing(
    hub: LoopbackHub, trained: Path, run: Run, warm: WarmProcess, tmp_path: Path
) -> None:
    """In the middle of a file."""
    hub.faults = [Fault("PUT", "", delay=60)]
    process = warm.start(["push", trained, REPOSITORY], tmp_path, **hub.environment("hf_alice", tmp_path / "home"))
    deadline = time.monotonic() + 60
    while not any(method == "PUT" for method, _, _ in hub.requests):
        assert time.monotonic() < deadline, (tmp_path / "log").read_text()
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    assert warm.wait(process) == -signal.SIGKILL
    assert set(hub.files(REPOSITORY)) == INITIAL
    hub.faults.clear()
    assert run("push", trained, REPOSITORY)[0] == 0


TOKEN = "hf_PlantedTokenThatNobodyMaySee"


@pytest.mark.slow
def test_no_token_gets_out(hub: LoopbackHub, warm: WarmProcess, tmp_path: Path) -> None:
    """Planted in the environment and on the command line; asked of a Hub that quotes it, and one that does not."""
    hub.tokens[TOKEN] = "alice"
    echo = f'{{"error": "Bearer {TOKEN} is not good enough"}}'.encode()

    def hf(*argv: object, fault: Fault | None = None, **more: str) -> str:
        hub.faults = [fault] if fault else []
        environment = {**hub.environment(TOKEN, tmp_path / "home"), "HF_DEBUG": "1", **more}
        result = warm.call(argv, tmp_path, **environment)
        assert result.returncode == (2 if fault else 0), result.stderr
        return result.stdout + result.stderr

    train = [*TWO_STEPS, "--keep_checkpoints", "true", "--push_to_hub", "true", "--hub_token", TOKEN]
    told = [
        hf(*train, "--output_dir", "one", HF_TOKEN="hf_other"),
        hf("push", "one", "alice/two"),
        hf("push", "one", "alice/three", fault=Fault("POST", "/commit/", 403, body=echo)),
        hf(
            "push",
            "one",
            "alice/three",
            fault=Fault("POST", "/commit/", 403, headers={"X-Error-Message": f"{TOKEN}!"}),
        ),
        hf("predict", "alice/four", "hello", fault=Fault("GET|HEAD", "", 403, ALWAYS, body=echo)),
    ]
    assert "[token]" in told[2]
    for text in told:
        assert TOKEN not in text
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"metrics.json", "training_args.bin", "README.md"} <= {path.name for path in left} | set(
        hub.files("alice/one")
    )
    for path in left:
        assert TOKEN.encode() not in path.read_bytes(), path
    for name in ("alice/one", "alice/two"):
        assert all(TOKEN.encode() not in content for content in hub.files(name).values())


def test_the_trainers_own_pickle_has_no_token(tmp_path: Path) -> None:
    arguments = SpamTrainingArguments(output_dir=str(tmp_path), hub_token=TOKEN)
    assert arguments.hub_token == TOKEN
    assert TOKEN.encode() not in pickle.dumps(arguments)
    torch.save(arguments, tmp_path / "training_args.bin")
    assert TOKEN.encode() not in (tmp_path / "training_args.bin").read_bytes()
    assert TOKEN not in repr(Repository("alice/spam", token=TOKEN))


def test_an_exception_has_no_token(hub: LoopbackHub) -> None:
    hub.faults = [Fault("POST", "", 403, ALWAYS, body=f'{{"error": "{TOKEN}"}}'.encode())]
    with pytest.raises(UserError) as caught:
        hf_spam.hub.repository.prepare_repository(Repository(REPOSITORY, token=TOKEN))
    assert TOKEN not in f"{caught.value!r}"
    assert caught.value.__suppress_context__


@pytest.mark.slow  # a training; the others push a run that is there
def test_train_and_push(hub: LoopbackHub, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "pushed"
    options = ["--push_to_hub", "true", "--hub_private_repo", "true", "--output_dir", folder]
    code, output, error = run(*TWO_STEPS, *options)
    assert code == 0, error
    assert f"pushed to {hub.url}/alice/pushed/commit/" in output
    assert hub.is_private("alice/pushed")
    assert hub.log("alice/pushed") == ["Upload pushed with hf_spam", "initial commit"]
    assert [path for _, path, _ in hub.requests].count("/api/repos/create") == 1  # the Trainer makes none of its own
    stored = hub.files("alice/pushed")
    assert stored["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert ModelCard(stored["README.md"].decode()).data.model_name == "pushed"


def test_a_push_that_is_refused_is_refused_before_the_training(hub: LoopbackHub, run: Run, tmp_path: Path) -> None:
    code, output, error = run(
        *TWO_STEPS, "--push_to_hub", "true", "--hub_model_id", "bob/x", "--output_dir", tmp_path / "x"
    )
    assert (code, output) == (2, "")
    assert "HTTP status 403" in error
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_push_that_fails_keeps_the_run(hub: LoopbackHub, run: Run, tmp_path: Path) -> None:
    hub.faults = [Fault("POST", COMMIT, 500)]
    folder = tmp_path / "kept"
    code, output, error = run(
        *TWO_STEPS, "--push_to_hub", "true", "--hub_model_id", "alice/kept", "--output_dir", folder
    )
    assert code == 2
    assert f"saved to {folder}" in output
    assert f"The run is complete; to push it: hf-spam push {folder} alice/kept" in error
    assert run("push", folder, "alice/kept")[0] == 0
    assert "model.safetensors" in hub.files("alice/kept")


def test_other_strategies_are_refused(run: Run) -> None:
    code, _, error = run(*TWO_STEPS, "--hub_strategy", "every_save")
    assert code == 2
    assert "--hub_strategy: expected end, found every_save: a run is pushed when it is finished." in error


def test_a_language_model(hub: LoopbackHub, run: Run, tokenizer: GPT2Tokenizer, tmp_path: Path) -> None:
    config = SpamGPTConfig(context_length=32, emb_dim=16, n_heads=2, n_layers=1)
    SpamGPTForCausalLM(config).save_pretrained(tmp_path / "lm")
    tokenizer.save_pretrained(tmp_path / "lm")
    code, _, error = run("push", tmp_path / "lm", "alice/lm")
    assert code == 0, error
    stored = hub.files("alice/lm")
    assert set(stored) == {*INITIAL, *MODEL, "generation_config.json", "README.md"}
    card = ModelCard(stored["README.md"].decode())
    assert card.data.pipeline_tag == "text-generation"
    assert "AutoModelForCausalLM" in card.text
    assert "Results" not in card.text


def test_a_data_set(hub: LoopbackHub, run: Run, tmp_path: Path) -> None:
    """Pushed with its card, and loaded by a process of its own: the same rows, the labels' names with them."""
    options = ["data", "--data_source", "sample", "--push", "alice/sms"]
    code, dry, error = run(*options, "--dry_run", "true")
    assert (code, hub.requests) == (0, []), error
    assert "would go to the public dataset repository alice/sms, branch main; nothing was sent" in dry
    code, output, error = run(*options, "--output_dir", tmp_path / "splits")
    assert code == 0, error
    files = {"README.md", *(f"data/{name}-00000-of-00001.parquet" for name in ("train", "validation", "test"))}
    assert set(hub.files("alice/sms", "dataset")) == {*INITIAL, *files}
    assert f"pushed to {hub.url}/datasets/alice/sms/commit/" in output

    card = DatasetCard(hub.files("alice/sms", "dataset")["README.md"].decode())
    assert (card.data.license, card.data.size_categories) == ("cc-by-4.0", "1K<n<10K")
    assert "1,284 text messages" in card.text
    assert not re.search(r"None|nan\b|\{\{|undefined", card.content)

    program = (
        "import sys, datasets\n"
        "datasets.load_dataset('alice/sms').save_to_disk(sys.argv[1])\n"
        "assert 'hf_spam' not in sys.modules\n"
    )
    environment = {**os.environ, **hub.environment("hf_bob", tmp_path / "home")}
    subprocess.run(
        [sys.executable, "-c", program, tmp_path / "loaded"], env=environment, check=True, capture_output=True
    )
    loaded = DatasetDict.load_from_disk(str(tmp_path / "loaded"))
    saved = DatasetDict.load_from_disk(str(tmp_path / "splits" / "dataset"))
    for name, rows in saved.items():
        assert isinstance(rows, Dataset)
        assert loaded[name].features == rows.features
        assert loaded[name].to_dict() == rows.to_dict()


def test_your_own_messages_are_not_called_the_collection(run: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    rows = "".join(f"{'ham' if number % 2 else 'spam'},text number {number}\n" for number in range(60))
    (tmp_path / "mine.csv").write_text(f"label,text\n{rows}")
    assert run("data", "--data_file", tmp_path / "mine.csv", "--push", "alice/mine")[0] == 0
    card = DatasetCard(hub.files("alice/mine", "dataset")["README.md"].decode())
    assert card.data.license is None
    assert "Almeida" not in card.content
    assert "supplied by the person who made this data set" in card.content
