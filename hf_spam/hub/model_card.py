"""The card of a model: what it is, how to use it, how it was trained, how good it is, and its limits.

The text is in the Jinja template `model_card.md`. The facts come from the files in the model's folder; the card says
nothing that they do not.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import UndefinedError

from ..checkpoint.opening import Checkpoint, Kind, open_checkpoint
from ..conversion.from_gpt2 import HUB_REPOSITORIES
from ..data.arguments import DataArguments
from ..data.labels import REGRESSION, Task, task_of_config
from ..data.splits import count_name
from ..errors import UserError, one_line
from ..evaluation.intervals import Interval, intervals, wilson
from ..evaluation.metrics import REGRESSION_METRICS, metric_names, with_twins_apart
from ..inference.classifier import EXAMPLES
from ..model.fields_spam_gpt import SpamGPTFields
from ..options import build
from ..reporting.publishing import HUB_DATASET
from ..system.environment import PACKAGES
from ..system.reading import read_json
from ..system.run_folder import AGREEMENT_FILE, ARGUMENTS_FILE, METRICS_FILE
from ..trainable.adapters import Lora
from ..training.arguments import ModelArguments
from ..values.names import check_repository
from .cards import describe_preparation, render, to_json
from .privacy import public_options

Facts = Mapping[str, Any]

# What a record of another form leads to, up to the template.
_ODD_RECORDS = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, UndefinedError)
_RARE = 5  # in 100 messages: an example of a share that differs from the training data's
_MOST_CELLS = 12  # labels of a confusion matrix in a table
_USE_EXAMPLES = ("You are a winner! Claim your $1000 prize", "Are we still on for dinner?")
_ANY_EXAMPLES = ("a text", "another text")
_METRIC_NAMES = {"f1": "F1", "mse": "MSE", "rmse": "RMSE", "mae": "MAE", "r2": "R²"}


def build_model_card(
    folder: Path,
    repository: str,
    license: str | None = None,
    checkpoint: Checkpoint | None = None,
    base: str | None = None,
) -> str:
    """Return the card of a model as Markdown, headed by the metadata that the Hub reads.

    Args:
        folder: Written by `hf-spam train`, `hf-spam export` or `save_pretrained`.
        repository: `owner/name`, for the usage examples.
        license: The Hub's identifier. By default the licence of what the weights were made from: `mit` for GPT-2,
            `apache-2.0` for random weights, none for another repository's; none if the messages are the user's.
        checkpoint: The folder, if it has been opened already.
        base: The repository of an adapter's base.

    Raises:
        UserError: If the folder does not hold a model of ours, or its record is of another version.
    """
    checkpoint = checkpoint or open_checkpoint(folder, get_args(Kind))
    kind, config, encoder = checkpoint.kind, checkpoint.config, checkpoint.encoder
    run, agreement = _read(folder / METRICS_FILE), _read(folder / AGREEMENT_FILE)
    options = _read(folder / ARGUMENTS_FILE)
    facts: dict[str, Any] = {
        "kind": kind,
        "repository": repository,
        "config": config,
        "labels": list((config.id2label or {}).values()),
        "task": task_of_config(config) if kind != "language model" else None,
        "max_length": min(config.max_text_length, encoder.model_max_length if encoder else 2**30),
        "remote": "" if kind == "gpt2" else ", trust_remote_code=True",
        "examples": _USE_EXAMPLES if kind == "language model" or task_of_config(config).is_spam else _ANY_EXAMPLES,
        "agreement": agreement,
        "base": base,
        "leaks": {},
        "point": point_facts(config, run),
        **dict.fromkeys(("training", "results", "source", "base_model", "openai", "rare", "metrics")),
    }
    try:
        if run and kind != "language model":
            facts |= run_facts(run, options, config, folder)
        metadata = build_metadata(facts, license).to_yaml()
        return render("model_card.md", {"metadata": f"{metadata}\n", **facts})
    except _ODD_RECORDS as error:
        raise UserError(
            f"{folder / METRICS_FILE}: expected a record written by this version of hf_spam, found another format "
            f"({type(error).__name__}: {error}). Train again, or write the card yourself: README.md in the folder."
        ) from None


def run_facts(run: Facts, options: Facts, config: SpamGPTFields, folder: Path) -> dict[str, Any]:
    """Return the card's facts about the data, the training and the results.

    Args:
        run: The content of `metrics.json`.
        options: The content of `arguments.json`.
        config: The model's configuration.
        folder: Where the plots are.
    """
    data, model = build(DataArguments, options), build(ModelArguments, options)
    task = task_of_config(config, data.positive_label)
    training, environment = run["training"], run["environment"]
    published = model.weights in ("hub", "openai")
    base_model = HUB_REPOSITORIES[model.model_size or "small"] if published else training.get("base_model")
    if base_model is not None:
        check_repository("base_model", base_model)
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
    test = run["splits"]["test"]
    plan = data.plan(task)
    given = run["data"].get("given", data.data_dir is not None)
    balanced = plan.balance == "undersample" and not given
    return {
        "task": task,
        "metrics": {name: _METRIC_NAMES.get(name, name.replace("_", ", ")) for name in metric_names(task)},
        "columns": [count_name(label) for label in task.names] if task.problem_type != REGRESSION else [],
        "per_label": test.get("per_label"),
        "confusion": test.get("confusion") if len(task.names) <= _MOST_CELLS else None,
        "prior": training.get("prior"),
        "training": training,
        "data": run["data"],
        "source": run["data"]["source"],
        "preparation": describe_preparation(data, task, given),
        "weights": _describe_weights(model.weights, base_model),
        "base_model": base_model,
        "openai": base_model in HUB_REPOSITORIES.values(),
        "trains": lora_in_words(options) if model.trainable == "lora" else model.trainable.replace("_", " "),
        "facts": facts,
        "options": to_json(public_options(options, base_model)),
        "results": {name: _format_figures(figures, task) for name, figures in with_twins_apart(run["splits"]).items()},
        "leaks": {
            name: leak_facts(leak, task) for name, leak in (run["data"].get("leaks") or {}).items() if leak["twins"]
        },
        "confusion_plot": (folder / "confusion-plot.png").is_file(),
        "plots": [name for name in ("loss", "accuracy") if (folder / f"{name}-plot.png").is_file()],
        "rare": _rare_positive(test["confusion"], task.positive_id) if balanced and task.is_binary else None,
        "figures": test,
        "outputs": run["examples"],
    }


def point_facts(config: SpamGPTFields, run: Facts) -> dict[str, Any] | None:
    """Return where a calibrated model decides and what that promises; `None` of any other model."""
    point = config.operating_point
    if point is None:
        return None
    unsure = point.get("unsure")
    found = {**point, "on": run.get("operating_point", {}).get("on", "messages that are not recorded")}
    return found | {"unsure": unsure, "unsure_score": None if unsure is None else 1 / (1 + math.exp(-unsure))}


def leak_facts(leak: Facts, task: Task) -> dict[str, str]:
    """Return how many messages of a split are nearly the same as one in training, in words."""
    twins, all_ = leak["labels"].get(task.positive, (0, 0))
    of_positive = f"({twins:,} of {all_:,} {task.positive})" if all_ else ""
    return {"twins": f"{leak['twins']:,} of {leak['messages']:,}", "of_positive": of_positive}


def build_metadata(facts: Facts, license: str | None) -> ModelCardData:
    """Return the metadata that the Hub reads for its filters, leaderboards and widget."""
    collection, kind = facts["source"] in ("uci", "sample"), facts["kind"]
    if license is None and (facts["training"] is None or collection):
        license = "mit" if facts["openai"] else None if facts["base_model"] else "apache-2.0"
    metadata = ModelCardData(
        license=one_line(license) if license else license,
        library_name={"onnx": "onnx", "adapter": "peft"}.get(kind, "transformers"),
        pipeline_tag="text-generation" if kind == "language model" else "text-classification",
        tags=["gpt2", "hf-spam", *_tags(facts)],
        language="en" if collection or kind == "language model" else None,
        datasets=[HUB_DATASET] if collection else None,
        base_model=facts["base"] or facts["base_model"],
        metrics=list(facts["metrics"]) if facts["results"] else None,
        widget=_widget(facts),
    )
    if facts["results"]:
        metadata.model_name = facts["repository"].split("/")[-1]
        metadata.eval_results = [
            EvalResult(
                task_type="text-classification",
                task_name="Spam detection" if facts["task"].is_spam else "Text classification",
                dataset_type=HUB_DATASET if collection else "own-messages",
                dataset_name="SMS Spam Collection" if collection else "The trainer's own messages",
                dataset_split="test",
                metric_type=name,
                metric_value=round(facts["figures"][name], 4),
            )
            for name in facts["metrics"]
        ]
    return metadata


def _tags(facts: Facts) -> list[str]:
    if facts["kind"] == "language model" or not facts["task"].is_spam:
        return []
    return ["sms", "spam-detection"] if facts["source"] in (None, "uci", "sample") else ["spam-detection"]


def lora_in_words(options: Facts) -> str:
    """Say what a LoRA trains."""
    given = {name: options.get(f"lora_{name}") or getattr(Lora, name) for name in ("rank", "alpha")}
    return f"LoRA adapters of rank {given['rank']}, alpha {given['alpha']}, and the head"


def _describe_weights(weights: str, base_model: str | None) -> str:
    if base_model is not None:
        whose = "GPT-2's weights" if base_model in HUB_REPOSITORIES.values() else "a GPT-2 with its own tokenizer"
        return f"{whose} ([{base_model}](https://huggingface.co/{base_model}))"
    return "random weights" if weights == "random" else "the weights in a local GPT-2 folder"


def _widget(facts: Facts) -> list[dict[str, Any]] | None:
    """Return the examples, with the model's output where it is known."""
    if facts["kind"] == "language model" or not facts["task"].is_spam:
        return None
    if facts["results"] and facts["outputs"]:
        return [
            {
                "text": one_line(it["text"]),
                "output": [{"label": one_line(it["label"]), "score": round(it["score"], 4)}],
            }
            for it in facts["outputs"]
        ]
    return [{"text": text} for text in EXAMPLES]


def _read(file: Path) -> Any:
    return read_json(file) if file.is_file() else {}


def _format_figures(figures: Facts, task: Task) -> dict[str, Any]:
    """Format one split's figures for the card: shares in % with their intervals."""
    ranges = intervals(figures["confusion"], task.positive_id) if "confusion" in figures else {}
    shown = {name: _with_interval(name, figures[name], ranges.get(name)) for name in metric_names(task)}
    return {"figures": shown, "loss": f"{figures['loss']:.3f}", "messages": f"{figures['messages']:,}"}


def _with_interval(name: str, share: float, interval: Interval | None) -> str:
    text = f"{share:.3f}" if name in REGRESSION_METRICS else f"{100 * share:.2f} %"
    return text if interval is None else f"{text} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def _rare_positive(confusion: Sequence[Sequence[int]], positive: int) -> dict[str, int] | None:
    """Return the worst-case precision where the positive label is rare, from the upper bound of false positives."""
    negative = 1 - positive
    right, alarms = confusion[negative][negative], confusion[negative][positive]
    misses, hits = confusion[positive][negative], confusion[positive][positive]
    worst = wilson(alarms, right + alarms)
    if worst is None or not hits:
        return None
    found, wrong = _RARE * hits / (hits + misses), (100 - _RARE) * worst[1]
    return {"share": _RARE, "precision": round(100 * found / (found + wrong))}
