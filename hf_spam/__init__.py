"""Fine-tune a from-scratch GPT as a text classifier the Hugging Face way.

Importing the package makes its models known to transformers, whichever is imported first. `pipeline`, `AutoModel`,
`AutoModelForSequenceClassification` and `AutoModelForCausalLM` then load its checkpoints without remote code.

It imports neither torch nor transformers, which takes seconds: each public name is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .errors import UserError
from .model.registration import register_in_time

if TYPE_CHECKING:
    from .data.arguments import DataArguments
    from .data.loading import load_splits
    from .equivalence.native_loop import load_state
    from .inference.answers import Prediction
    from .inference.classifier import SpamClassifier
    from .model.backbone_spam_gpt import SpamGPTModel
    from .model.configuration_spam_gpt import SpamGPTConfig
    from .model.gpt import GPTModel
    from .model.modeling_spam_gpt import SpamGPTForCausalLM, SpamGPTForSequenceClassification
    from .tokens.tokenization import build_tokenizer, tokenize
    from .training.arguments import ModelArguments, SpamTrainingArguments
    from .training.fine_tuning import fine_tune
    from .training.initial_model import build_model
    from .training.run import Run, save_run
else:  # hidden from type checkers, which would take any name for one of ours
    _MODULES = {
        "DataArguments": "data.arguments",
        "GPTModel": "model.gpt",
        "ModelArguments": "training.arguments",
        "Prediction": "inference.answers",
        "Run": "training.run",
        "SpamClassifier": "inference.classifier",
        "SpamGPTConfig": "model.configuration_spam_gpt",
        "SpamGPTForCausalLM": "model.modeling_spam_gpt",
        "SpamGPTForSequenceClassification": "model.modeling_spam_gpt",
        "SpamGPTModel": "model.backbone_spam_gpt",
        "SpamTrainingArguments": "training.arguments",
        "build_model": "training.initial_model",
        "build_tokenizer": "tokens.tokenization",
        "fine_tune": "training.fine_tuning",
        "load_splits": "data.loading",
        "load_state": "equivalence.native_loop",
        "save_run": "training.run",
        "tokenize": "tokens.tokenization",
    }

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "DataArguments",
    "GPTModel",
    "ModelArguments",
    "Prediction",
    "Run",
    "SpamClassifier",
    "SpamGPTConfig",
    "SpamGPTForCausalLM",
    "SpamGPTForSequenceClassification",
    "SpamGPTModel",
    "SpamTrainingArguments",
    "UserError",
    "build_model",
    "build_tokenizer",
    "fine_tune",
    "load_splits",
    "load_state",
    "save_run",
    "tokenize",
]
__version__ = "0.1.0"

register_in_time()
