"""Fine-tune a from-scratch GPT as a text classifier the Hugging Face way.

Importing the package makes its models known to transformers: afterwards `AutoModelForSequenceClassification`,
`AutoModelForCausalLM` and `pipeline` load its checkpoints without remote code, whichever was imported first. It
imports neither torch nor transformers, which takes seconds: a public name is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .errors import UserError
from .model.registration import register_in_time

if TYPE_CHECKING:
    from .inference.classifier import Prediction, SpamClassifier
    from .model.configuration_spam_gpt import SpamGPTConfig
    from .model.gpt import GPTModel
    from .model.modeling_spam_gpt import SpamGPTForCausalLM, SpamGPTForSequenceClassification
else:  # hidden from type checkers, which would take any name for one of ours
    _MODULES = {
        "GPTModel": "model.gpt",
        "Prediction": "inference.classifier",
        "SpamClassifier": "inference.classifier",
        "SpamGPTConfig": "model.configuration_spam_gpt",
        "SpamGPTForCausalLM": "model.modeling_spam_gpt",
        "SpamGPTForSequenceClassification": "model.modeling_spam_gpt",
    }

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "GPTModel",
    "Prediction",
    "SpamClassifier",
    "SpamGPTConfig",
    "SpamGPTForCausalLM",
    "SpamGPTForSequenceClassification",
    "UserError",
]
__version__ = "0.1.0"

register_in_time()
