"""What was pushed, loaded by others: in an environment without hf_spam, and by its own card's programs.

pytest tests/hub/test_hub_loading.py
"""

import json
import os
import re
import shlex
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest
import torch
from support.loopback_hub import LoopbackHub
from support.warm_process import WarmProcess
from transformers import GPT2Tokenizer

from hf_spam import SpamGPTConfig, SpamGPTForCausalLM, SpamGPTForSequenceClassification
from hf_spam.hub import repository as hub
from hf_spam.hub.contents import model_contents
from hf_spam.hub.repository import Repository

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

TEXTS = ["You are a winner", "", "See you at eight, then", "Free entry! " * 12, "caf\u00e9 \U0001f600 at 8?", "ok"]
SIZES = {"context_length": 64, "emb_dim": 32, "n_heads": 2, "n_layers": 2, "initializer_range": 0.3}
LABELS = {2: {0: "ham", 1: "spam"}, 3: {0: "ham", 1: "spam", 2: "unsure"}}

# Run with a list of repositories and a file for what comes out, in whatever environment: everything people do.
PROGRAM = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, pipeline
from transformers.pipelines.pt_utils import KeyDataset

names, target, options, texts = sys.argv[1].split(), sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])

try:
    from datasets import Dataset
except ImportError:
    Dataset = None

class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return len(texts)
    def __getitem__(self, number):
        return {"text": texts[number]}

found = {}
for name in names:
    tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    if name.endswith("-lm"):
        model = AutoModelForCausalLM.from_pretrained(name, **options)
        with torch.no_grad():
            found[name] = model(**tokenizer(texts[0], return_tensors="pt")).logits
            continue
    model = AutoModelForSequenceClassification.from_pretrained(name, **options)
    assert not model.training
    with torch.no_grad():
        batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        found[name] = model(**batch).logits
    classify = pipeline("text-classification", model=name, **options)
    rows = Dataset.from_dict({"text": texts}) if Dataset else Rows()
    found[name + " scores"] = {
        f"{way}, {size}": list(classify(given, batch_size=size, truncation=True))
        for size in (1, 4)
        for way, given in (("list", texts), ("generator", (text for text in texts)), ("rows", KeyDataset(rows, "text")))
    }
found["module"] = type(model).__module__
found["hf_spam"] = "hf_spam" in sys.modules
torch.save(found, target)
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tokenizer: GPT2Tokenizer) -> Iterator[tuple[LoopbackHub, dict]]:
    """A Hub with classifiers of both pooling rules, two and three labels, and a language model; and their logits."""
    expected: dict[str, torch.Tensor] = {}
    patch = pytest.MonkeyPatch()
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as running, patch.context() as patched:
        running.tokens = {"hf_alice": "alice"}
        patched.setattr(huggingface_hub.constants, "ENDPOINT", running.url)
        patched.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        patched.setenv("HF_TOKEN", "hf_alice")
        for pooling in ("last_token", "last_position"):
            for number, labels in LABELS.items():
                torch.manual_seed(number)
                config = SpamGPTConfig(**SIZES, pooling=pooling, id2label=labels)
                model = SpamGPTForSequenceClassification(config).eval()
                name = f"alice/{pooling}-{number}"
                with torch.no_grad():
                    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
                    expected[name] = model(**batch).logits
                push(model, tokenizer, name, tmp_path_factory.mktemp("model"))
        language_model = SpamGPTForCausalLM(SpamGPTConfig(**SIZES)).eval()
        with torch.no_grad():
            expected["alice/a-lm"] = language_model(**tokenizer(TEXTS[0], return_tensors="pt")).logits
        push(language_model, tokenizer, "alice/a-lm", tmp_path_factory.mktemp("model"))
        yield running, expected


def push(model: torch.nn.Module, tokenizer: GPT2Tokenizer, name: str, folder: Path) -> None:
    """Save as a run does, and push."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    hub.publish(hub.prepare_repository(Repository(name)), model_contents(folder, name), "a model")


def load(
    python: Path | WarmProcess, program: str, running: LoopbackHub, home: Path, *argv: object
) -> subprocess.CompletedProcess[str]:
    """Run a program where the Hub is, by an interpreter or a warm one, without a token and with no standard input."""
    switches = {**running.environment(None, home), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    if isinstance(python, WarmProcess):
        return python.call(argv, home.parent, program=program, **switches)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= switches
    command = [str(python), "-c", program, *map(str, argv)]
    return subprocess.run(
        command, env=environment, cwd=home.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def test_the_bare_environment_has_nothing_of_ours(bare: Path) -> None:
    program = "import importlib.util as u; print([u.find_spec(n) is not None for n in ('transformers', 'torch', 'hf_spam', 'datasets', 'pandas')])"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run([bare, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.strip() == "[True, True, False, False, False]"


@pytest.mark.parametrize(
    "ours", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["transformers alone", "with hf_spam"]
)
def test_everybody_gets_the_same(
    served: tuple[LoopbackHub, dict], warm_bare: WarmProcess, warm: WarmProcess, tmp_path: Path, ours: bool
) -> None:
    """Logits to the last bit; the pipeline's labels and scores in every way it can be asked."""
    running, expected = served
    names, target = list(expected), tmp_path / "found"
    program = f"import hf_spam\n{PROGRAM}" if ours else PROGRAM
    options = {"trust_remote_code": not ours}
    python = warm if ours else warm_bare
    result = load(
        python, program, running, tmp_path / "home", " ".join(names), target, json.dumps(options), json.dumps(TEXTS)
    )
    assert result.returncode == 0, result.stderr
    found = torch.load(target, weights_only=True)
    assert found["hf_spam"] is ours
    assert found["module"].startswith("hf_spam." if ours else "transformers_modules.alice.")
    for name, logits in expected.items():
        assert torch.equal(found[name], logits), name
        if name.endswith("-lm"):
            continue
        labels = LABELS[logits.shape[1]]
        scores, ids = logits.softmax(dim=1).max(dim=1)
        assert len(found[f"{name} scores"]) == 6
        for way, predictions in found[f"{name} scores"].items():
            assert [one["label"] for one in predictions] == [labels[id_] for id_ in ids.tolist()], (name, way)
            assert [one["score"] for one in predictions] == pytest.approx(scores.tolist(), abs=1e-6), (name, way)
    assert running.unknown == [] or all("additional_chat_templates" in path for _, path in running.unknown)


@pytest.mark.slow
def test_the_cards_programs_run(
    hub: LoopbackHub,
    run: Callable[..., tuple[int, str, str]],
    warm: WarmProcess,
    warm_bare: WarmProcess,
    tiny_run: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    """Each as it stands there: two in the bare environment, the third where hf_spam is installed; and the commands."""
    folder = tiny_run("sample")
    assert run("push", folder, "alice/spam")[0] == 0
    card = hub.files("alice/spam")["README.md"].decode()
    alone, logits, ours = re.findall(r"^```python\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)
    (command,) = re.findall(r"`(hf-spam predict .*?)`", card)
    for python, program, answers in ((warm_bare, alone, 2), (warm, ours, 2), (warm_bare, logits, 0)):
        result = load(python, program, hub, tmp_path / "home")
        assert result.returncode == 0, result.stderr
        assert result.stdout.strip()
        assert len(re.findall(r"\b(?:ham|spam)\b", result.stdout)) == (answers or 2)
    _, local, _ = run("evaluate", folder)  # what was published knows what it was trained on
    for line in (command, "hf-spam evaluate alice/spam"):
        result = warm.call(shlex.split(line)[1:], tmp_path, **hub.environment(None, tmp_path / "home"))
        assert result.returncode == 0, result.stderr
        scored = re.match(r"(ham|spam)\t[01]\.\d+\ta text", result.stdout)
        assert scored or result.stdout.splitlines()[1:] == local.splitlines()[1:]


@pytest.mark.network
def test_the_real_hub(
    bare: Path, run: Callable[..., tuple[int, str, str]], tokenizer: GPT2Tokenizer, tmp_path: Path
) -> None:
    """A private repository of the token's user: pushed, loaded by transformers alone, deleted."""
    if not os.environ.get("HF_TOKEN"):
        pytest.skip("the real Hub: set HF_TOKEN to a token that may write")
    api = huggingface_hub.HfApi()
    name = f"{api.whoami()['name']}/hf-spam-test-{uuid.uuid4().hex[:8]}"
    model = SpamGPTForSequenceClassification(SpamGPTConfig(**SIZES, id2label=LABELS[2])).eval()
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    try:
        assert run("push", tmp_path / "model", name, "--private", "true")[0] == 0
        assert api.repo_info(name).private
        argv = [name, tmp_path / "found", json.dumps({"trust_remote_code": True}), json.dumps(TEXTS)]
        environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": os.environ["HF_TOKEN"]}
        subprocess.run([bare, "-c", PROGRAM, *argv], env=environment, cwd=tmp_path, check=True)
        with torch.no_grad():
            expected = model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
        assert torch.equal(torch.load(tmp_path / "found", weights_only=True)[name], expected)
    finally:
        api.delete_repo(name, missing_ok=True)


@pytest.mark.slow
def test_real_sizes(hub: LoopbackHub, tokenizer: GPT2Tokenizer, bare: Path, tmp_path: Path) -> None:
    """GPT-2 small's shape, half a gigabyte in several parts, pushed and loaded."""
    torch.manual_seed(0)
    model = SpamGPTForSequenceClassification(SpamGPTConfig(id2label=LABELS[2])).eval()
    push(model, tokenizer, "alice/small", tmp_path / "model")
    assert len([path for method, path, _ in hub.requests if method == "PUT"]) >= 7
    options = json.dumps({"trust_remote_code": True})
    result = load(bare, PROGRAM, hub, tmp_path / "home", "alice/small", tmp_path / "found", options, json.dumps(TEXTS))
    assert result.returncode == 0, result.stderr
    with torch.no_grad():
        expected = model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
    assert torch.equal(torch.load(tmp_path / "found", weights_only=True)["alice/small"], expected)
