"""A model's folder → its card: what it is, how to use it, what it was made of, how good it is, where that ends.

The words are in `model_card.md`, a Jinja template; the facts come from the folder's files. Of what they do not say the
card says nothing.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import EvalResult, ModelCardData

from ..conversion.from_gpt2 import HUB_REPOSITORIES
from ..conversion.to_gpt2 import is_gpt2, read_gpt2_config
from ..conversion.to_onnx import is_onnx
from ..data.arguments import DataArguments
from ..errors import UserError
from ..evaluation.intervals import Interval, intervals, wilson
from ..evaluation.metrics import METRICS
from ..inference.classifier import EXAMPLES
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..options import build
from ..system.environment import PACKAGES
from ..system.run_folder import AGREEMENT_FILE, ARGUMENTS_FILE, METRICS_FILE
from ..training.arguments import ModelArguments
from .cards import HUB_DATASET, describe_preparation, render

Kind = Literal["checkpoint", "language model", "gpt2", "onnx"]
Facts = Mapping[str, Any]

_RARE = 5  # in 100 messages: an example of a share of spam that is not the training's
_USE_EXAMPLES = ("You are a winner! Claim your $1000 prize", "Are we still on for dinner?")
_OWN_PLACES = {  # options that say where things are on the machine of the training, or went from there
    *("output_dir", "overwrite_output_dir", "cache_dir", "bpe_dir", "prefix_cache_dir", "push_to_hub", "report_to"),
    *("hub_model_id", "hub_private_repo", "hub_revision", "hub_always_push", "hub_strategy"),
}


def build_model_card(folder: Path, repository: str, license: str | None = None) -> str:
    """The card of a model as Markdown, with the metadata that the Hub reads at its top.

    Args:
        folder: What `hf-spam train` or `hf-spam export` wrote, or `save_pretrained`.
        repository: `owner/name`, for the examples of use.
        license: As the Hub abbreviates it. By default that of what the weights were made of: GPT-2's is `mit`, our
            code's is `apache-2.0`; none for messages that are not ours to license.

    Raises:
        UserError: If the folder holds no model of ours.
    """
    kind = find_kind(folder)
    config = read_gpt2_config(folder) if kind == "gpt2" else SpamGPTConfig.from_pretrained(folder)
    run, agreement = _read(folder / METRICS_FILE), _read(folder / AGREEMENT_FILE)
    options = _read(folder / ARGUMENTS_FILE)
    facts: dict[str, Any] = {
        "kind": kind,
        "repository": repository,
        "config": config,
        "labels": list((config.id2label or {}).values()),
        "max_length": min(config.max_text_length, _tokenizer_length(folder)),
        "remote": "" if kind == "gpt2" else ", trust_remote_code=True",
        "examples": _USE_EXAMPLES,
        "agreement": agreement,
        **dict.fromkeys(("training", "results", "source", "base_model", "rare")),
    }
    if run and kind != "language model":
        try:
            facts |= describe_run(run, options, config, folder)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{folder / METRICS_FILE}: expected a record as this version of hf_spam writes it, found another "
                f"({type(error).__name__}: {error}). Train again, or write the card yourself: README.md in the folder."
            ) from None
    metadata = build_metadata(facts, license).to_yaml()
    return render("model_card.md", {"metadata": f"{metadata}\n", **facts})


def find_kind(folder: Path) -> Kind:
    """What a folder holds.

    Raises:
        UserError: If it is no model of ours.
    """
    if is_onnx(folder):
        return "onnx"
    if is_gpt2(folder):
        return "gpt2"
    try:
        config = SpamGPTConfig.from_pretrained(folder)
    except (OSError, ValueError, TypeError):
        config = None
    if config is None or not any(folder.glob("model*.safetensors")):
        raise UserError(
            f"{folder}: expected a model that hf-spam train or hf-spam export saved, found no config.json of one or "
            f"no weights beside it."
        )
    return "language model" if "SpamGPTForCausalLM" in (config.architectures or []) else "checkpoint"


def describe_run(run: Facts, options: Facts, config: SpamGPTConfig, folder: Path) -> dict[str, Any]:
    """What the card says of the data, the training and the results.

    Args:
        run: `metrics.json`.
        options: `arguments.json`.
        config: The model's.
        folder: Where the plots are.
    """
    data, model = build(DataArguments, options), build(ModelArguments, options)
    training, environment = run["training"], run["environment"]
    published = model.weights in ("hub", "openai")
    base_model = HUB_REPOSITORIES[model.model_size or "small"] if published else None
    chosen = training["options"]
    software = ", ".join(f"{name} {environment[name]}" for name in ("python", *PACKAGES))
    facts = {
        "optimizer": f"{chosen['optim']}, weight decay {chosen['weight_decay']:g}",
        "learning rate": f"{chosen['learning_rate']:g}, {chosen['lr_scheduler_type']}",
        "warmup": f"{chosen['warmup_steps']:g} (below 1: of all steps)" if chosen["warmup_steps"] else "none",
        "gradients clipped at": f"{chosen['max_grad_norm']:g}" if chosen["max_grad_norm"] else "never",
        "dropout": f"{config.drop_rate:g}",
        "seed": f"{chosen['seed']} (messages: {data.split_seed})",
        "precision": training["precision"],
        "processes": f"{training['processes']}",
        "hardware": f"{environment['device']}, {environment['threads']} threads",
        "software": f"{environment['platform']}, {software}",
    }
    (_, (misses, hits)), (right, alarms) = run["splits"]["test"]["confusion"], run["splits"]["test"]["confusion"][0]
    return {
        "training": training,
        "data": run["data"],
        "source": run["data"]["source"],
        "preparation": describe_preparation(data),
        "weights": f"GPT-2's weights ([{base_model}](https://huggingface.co/{base_model}))"
        if published
        else {"random": "random weights"}.get(model.weights, "the weights of a local GPT-2 folder"),
        "base_model": base_model,
        "trains": model.trainable.replace("_", " "),
        "facts": facts,
        "options": json.dumps(public_options(options), indent=2, ensure_ascii=False),
        "results": {name: _shown(figures) for name, figures in run["splits"].items()},
        "plots": [name for name in ("loss", "accuracy") if (folder / f"{name}-plot.png").is_file()],
        "rare": _rare(right, alarms, misses, hits) if data.balance else None,
        "figures": run["splits"]["test"],
        "outputs": run["examples"],
    }


def build_metadata(facts: Facts, license: str | None) -> ModelCardData:
    """What the Hub reads: for its filters, its leader boards and its widget."""
    collection, kind = facts["source"] in ("uci", "sample"), facts["kind"]
    if license is None and (facts["training"] is None or collection):
        license = "mit" if facts["base_model"] else "apache-2.0"
    metadata = ModelCardData(
        license=license,
        library_name="onnx" if kind == "onnx" else "transformers",
        pipeline_tag="text-generation" if kind == "language model" else "text-classification",
        tags=["gpt2", "hf-spam", *([] if kind == "language model" else ["sms", "spam-detection"])],
        language="en" if collection or kind == "language model" else None,
        datasets=[HUB_DATASET] if collection else None,
        base_model=facts["base_model"],
        metrics=list(METRICS) if facts["results"] else None,
        widget=_widget(facts),
    )
    if facts["results"]:
        metadata.model_name = facts["repository"].split("/")[-1]
        metadata.eval_results = [
            EvalResult(
                task_type="text-classification",
                task_name="Spam detection",
                dataset_type=HUB_DATASET if collection else "own-messages",
                dataset_name="SMS Spam Collection" if collection else "Messages of whoever trained the model",
                dataset_split="test",
                metric_type=name,
                metric_value=round(facts["figures"][name], 4),
            )
            for name in METRICS
        ]
    return metadata


def _widget(facts: Facts) -> list[dict[str, Any]] | None:
    """The examples, with what the model made of them where that is known."""
    if facts["results"]:
        return [
            {"text": it["text"], "output": [{"label": it["label"], "score": round(it["score"], 4)}]}
            for it in facts["outputs"]
        ]
    return [{"text": text} for text in EXAMPLES] if facts["kind"] != "language model" else None


def public_options(options: Facts) -> dict[str, Any]:
    """A run's options for others to read: without tokens, and of places on the machine no more than the name."""
    kept = {name: value for name, value in options.items() if name not in _OWN_PLACES and not name.endswith("_token")}
    return {
        name: Path(value).name if isinstance(value, str) and ("/" in value or "\\" in value) else value
        for name, value in kept.items()
    }


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _tokenizer_length(folder: Path) -> int:
    return int(_read(folder / "tokenizer_config.json").get("model_max_length", 2**30))


def _shown(figures: Facts) -> dict[str, Any]:
    """One split's figures as the card shows them: in % with their intervals."""
    ranges = intervals(figures["confusion"])
    shown = {name: _with_interval(figures[name], ranges.get(name)) for name in METRICS}
    return {**shown, **{name: figures[name] for name in ("loss", "confusion")}, "messages": f"{figures['messages']:,}"}


def _with_interval(share: float, interval: Interval | None) -> str:
    text = f"{100 * share:.2f} %"
    return text if interval is None else f"{text} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def _rare(right: int, alarms: int, misses: int, hits: int) -> dict[str, int] | None:
    """How many of those called spam may be spam where it is rare, by the upper end of the false alarms' interval."""
    worst = wilson(alarms, right + alarms)
    if worst is None or not hits:
        return None
    found, wrong = _RARE * hits / (hits + misses), (100 - _RARE) * worst[1]
    return {"share": _RARE, "precision": round(100 * found / (found + wrong))}
