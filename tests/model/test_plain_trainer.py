"""Our models under a plain Trainer, with the options that its user expects to work.

pytest tests/model/test_plain_trainer.py
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments
from transformers.modeling_layers import GradientCheckpointingLayer

from hf_spam import SpamGPTConfig, SpamGPTForCausalLM, SpamGPTForSequenceClassification

IDS = torch.randint(0, 99, (8, 6), generator=torch.Generator().manual_seed(0))
TARGETS: dict[str, tuple[dict[str, Any], Tensor]] = {
    "one of two": ({"id2label": {0: "ham", 1: "spam"}}, torch.tensor([0, 1, 1, 0, 0, 1, 0, 1])),
    "several": (
        {"id2label": {0: "a", 1: "b", 2: "c"}, "problem_type": "multi_label_classification"},
        torch.randint(0, 2, (8, 3), generator=torch.Generator().manual_seed(1)).float(),
    ),
    "a number": ({"id2label": {0: "score"}}, torch.linspace(-3, 3, 8)),
}


def train(
    model: Any, rows: list[dict[str, Tensor]], folder: Path, compute_metrics: Any = None, **options: Any
) -> Trainer:
    arguments = TrainingArguments(
        str(folder), **{"report_to": "none", "use_cpu": True, "disable_tqdm": True, "save_strategy": "no", **options}
    )
    data: Any = {"train_dataset": rows, "eval_dataset": rows}
    trainer = Trainer(model, arguments, compute_metrics=compute_metrics, **data)
    trainer.train()
    return trainer


@pytest.mark.parametrize("what", TARGETS)
def test_losses_do_not_grow_with_accumulation(tiny_config: SpamGPTConfig, tmp_path: Path, what: str) -> None:
    """One batch of eight, and four of two: the same loss, the same step. transformers' GPT-2 quadruples both."""
    options, labels = TARGETS[what]
    found = []
    for accumulated in (1, 4):
        torch.manual_seed(0)
        model = SpamGPTForSequenceClassification(SpamGPTConfig(**tiny_config.to_dict() | options))
        rows = [{"input_ids": ids, "labels": label} for ids, label in zip(IDS, labels, strict=True)]
        recipe: Any = {
            **{"per_device_train_batch_size": 8 // accumulated, "gradient_accumulation_steps": accumulated},
            **{"max_steps": 2, "logging_steps": 1, "optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0},
        }
        trainer = train(model, rows, tmp_path, **recipe)
        found.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
        found.append([parameter.detach() for parameter in model.parameters()])
    torch.testing.assert_close(found[2], found[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found[3], found[1], rtol=0, atol=1e-5)


def test_norms_and_biases_do_not_decay(tiny_config: SpamGPTConfig, tmp_path: Path) -> None:
    for class_ in (SpamGPTForSequenceClassification, SpamGPTForCausalLM):
        model = class_(tiny_config)
        trainer = Trainer(model, TrainingArguments(str(tmp_path), report_to="none"))
        decayed = set(trainer.get_decay_parameter_names(model))
        spared = {name for name, _ in model.named_parameters()} - decayed
        assert spared == {name for name, _ in model.named_parameters() if name.endswith(("bias", "scale", "shift"))}
    assert isinstance(model.model.final_norm, nn.LayerNorm)


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable:FutureWarning")  # the name in older releases
def test_blocks_are_layers_that_transformers_checkpoints(tiny_config: SpamGPTConfig) -> None:
    for class_ in (SpamGPTForSequenceClassification, SpamGPTForCausalLM):
        model = class_(tiny_config)
        assert all(isinstance(block, GradientCheckpointingLayer) for block in model.model.trf_blocks)
        model.gradient_checkpointing_enable()
        output = model.train()(IDS, use_cache=True, labels=None)
        assert output.keys() == {"logits"}
        output.logits.sum().backward()


OPTIONS = [
    *("prediction_loss_only", "batch_eval_metrics", "eval_on_start"),
    *("bf16_full_eval", "fp16_full_eval"),  # the Trainer rounds the model itself, but not while it trains
]


@pytest.mark.parametrize("option", OPTIONS)
def test_options_of_evaluation(tiny_config: SpamGPTConfig, tmp_path: Path, option: str) -> None:
    """They say how checkpoints are evaluated, and change nothing in them."""
    rows = [{"input_ids": ids, "labels": torch.tensor(number % 2)} for number, ids in enumerate(IDS)]
    options: dict[str, Any] = {"eval_strategy": "epoch", "save_strategy": "epoch", "num_train_epochs": 2, "seed": 1}
    saved = []
    for given in ({}, {option: True}):
        torch.manual_seed(0)
        seen: list[int] = []

        def count(predictions: Any, compute_result: bool = True, seen: list[int] = seen) -> dict[str, float]:
            seen.append(len(predictions.label_ids))
            return {
                "accuracy": float((predictions.predictions.argmax(-1) == predictions.label_ids).sum())
                / len(predictions.label_ids)
            }

        folder = tmp_path / f"with {len(given)}"
        model = SpamGPTForSequenceClassification(tiny_config)
        trainer = train(model, rows, folder, compute_metrics=count, **options, **given)
        files = sorted(folder.glob("checkpoint-*/model.safetensors"))
        saved.append([load_file(file) for file in files])
        losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
        assert len(losses) == 2 + (option == "eval_on_start" and bool(given))
        assert ("eval_accuracy" in trainer.evaluate()) == (given != {"prediction_loss_only": True})
        assert given != {"prediction_loss_only": True} or not seen
    assert len(saved[0]) == 2
    torch.testing.assert_close(saved[1], saved[0], rtol=0, atol=0)  # types too


def test_a_language_model_trains(tiny_config: SpamGPTConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = SpamGPTForCausalLM(tiny_config)
    rows = [{"input_ids": ids, "labels": ids} for ids in IDS]
    trainer = train(model, rows, tmp_path, max_steps=30, learning_rate=1e-2, logging_steps=10)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0] / 2
