"""Fine-tune a from-scratch GPT as a text classifier the Hugging Face way.

Importing the package makes its models known to transformers: afterwards `AutoModelForSequenceClassification`,
`AutoModelForCausalLM` and `pipeline` load its checkpoints without remote code, whichever was imported first. It
imports neither torch nor transformers, which takes seconds: a public name is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .errors import UserError
from .registration import register_in_time

if TYPE_CHECKING:
    from .configuration_spam_gpt import SpamGPTConfig
    from .gpt import GPTModel
    from .inference import Prediction, SpamClassifier
    from .modeling_spam_gpt import SpamGPTForCausalLM, SpamGPTForSequenceClassification
else:  # hidden from type checkers, which would take any name for one of ours
    _MODULES = {
        "GPTModel": "gpt",
        "Prediction": "inference",
        "SpamClassifier": "inference",
        "SpamGPTConfig": "configuration_spam_gpt",
        "SpamGPTForCausalLM": "modeling_spam_gpt",
        "SpamGPTForSequenceClassification": "modeling_spam_gpt",
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
