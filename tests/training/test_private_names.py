"""The private names of transformers that we touch: few, known, and still there.   pytest tests/training/test_private_names.py"""

import re
from pathlib import Path
from typing import Any

import pytest
from transformers import GPT2Config, GPT2Model, PreTrainedModel, Trainer

from hf_spam.model import backbone_spam_gpt, modeling_spam_gpt
from hf_spam.training import trainer
from hf_spam.training.trainer import SpamTrainer

OVERRIDDEN = sorted(
    name for name in vars(SpamTrainer) if name.startswith("_") and not name.startswith("__") and hasattr(Trainer, name)
)
MODELS = "".join(Path(str(module.__file__)).read_text() for module in (backbone_spam_gpt, modeling_spam_gpt))
SET = sorted({"_init_weights", *re.findall(r"^    (_[a-z_]+)(?:: \w+)? = ", MODELS, re.MULTILINE)})
NAMED = sorted(re.findall(r"^- `(_\w+)`:", trainer.__doc__ or "", re.MULTILINE))


def test_the_head_of_the_module_names_every_private_method() -> None:
    assert NAMED == OVERRIDDEN == ["_get_grad_norm", "_get_train_sampler"]


@pytest.mark.parametrize("name", NAMED)
def test_the_trainer_still_has_it(name: str) -> None:
    """A release of transformers that moves one fails here, by name."""
    assert callable(getattr(Trainer, name, None)), (
        f"Trainer.{name} is gone: see the head of hf_spam/training/trainer.py"
    )


def test_nothing_else_reaches_into_the_trainer() -> None:
    """`self._x` of the Trainer's own attributes, and calls of private methods through `super()`."""
    source = Path(trainer.__file__).read_text()
    assert set(re.findall(r"super\(\)\.(_\w+)", source)) == set(NAMED)
    assert set(re.findall(r"self\.(_\w+)", source)) == {"_whole"}


@pytest.mark.parametrize("name", SET)
def test_what_transformers_asks_custom_models_to_set(name: str) -> None:
    """Underscored, and what its own architectures set."""
    assert hasattr(PreTrainedModel, name)


def test_what_loading_leaves_in_a_model(tmp_path: Path) -> None:
    """`_weight_conversions`, which saving applies backwards: a list whose entries know their patterns."""
    GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=9)).save_pretrained(tmp_path)
    loaded: Any = GPT2Model.from_pretrained(tmp_path, key_mapping={"^wte": "wte"})
    assert ["wte"] in [it.target_patterns for it in loaded._weight_conversions]
