"""Fine-tune a from-scratch GPT as a text classifier the Hugging Face way.

Importing the package makes its models known to transformers: afterwards `AutoModelForSequenceClassification`,
`AutoModelForCausalLM` and `pipeline` load its checkpoints without remote code.
"""

from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from .configuration_spam_gpt import SpamGPTConfig
from .errors import UserError
from .gpt import GPTModel
from .inference import Prediction, SpamClassifier
from .modeling_spam_gpt import SpamGPTForCausalLM, SpamGPTForSequenceClassification

AutoConfig.register(SpamGPTConfig.model_type, SpamGPTConfig)
AutoModelForSequenceClassification.register(SpamGPTConfig, SpamGPTForSequenceClassification)
AutoModelForCausalLM.register(SpamGPTConfig, SpamGPTForCausalLM)

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
