"""The private names of transformers that we touch: few, known, and still there.   pytest tests/training/test_private_names.py"""

import re
from pathlib import Path

import pytest
from transformers import PreTrainedModel, Trainer

from hf_spam.model.modeling_spam_gpt import SpamGPTPreTrainedModel
from hf_spam.training import trainer
from hf_spam.training.trainer import SpamTrainer

OVERRIDDEN = sorted(
    name for name in vars(SpamTrainer) if name.startswith("_") and not name.startswith("__") and hasattr(Trainer, name)
)
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


def test_what_transformers_asks_custom_models_to_set() -> None:
    """Underscored, and documented for custom models."""
    for name in ("_no_split_modules", "_supports_sdpa", "_init_weights"):
        assert hasattr(PreTrainedModel, name)
        assert hasattr(SpamGPTPreTrainedModel, name)
