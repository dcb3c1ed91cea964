"""Time the classification of messages: the chapter's function, `pipeline()` with transformers' GPT-2, and ours."""

import tempfile
from dataclasses import dataclass
from typing import Any

import torch
from transformers import pipeline

from ..conversion.from_gpt2 import SIZES
from ..conversion.to_book import as_book
from ..data.labels import HAM_SPAM
from ..engines.loading import Precision
from ..equivalence import native_loop
from ..inference.classifier import SpamClassifier
from ..inference.repeats import Repeats
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..tokens.tokenization import build_tokenizer, gpt2_encoding
from .measuring import seconds
from .peers import gpt2_classifier

SHORT = "Call me when you land"
CHAPTERS_LENGTH = 120  # tokens to which the chapter pads a message


@dataclass(frozen=True)
class Task:
    """The messages to classify, the model's size, and how many of the messages the peers classify.

    The peers' messages are spread evenly over all; on more messages their rate is the same.
    """

    texts: list[str]
    model_size: str
    some: int

    @property
    def sample(self) -> list[str]:
        """The messages that the peers classify."""
        return self.texts[:: max(1, len(self.texts) // self.some)][: self.some]


def chapters_function(task: Task) -> dict[str, Any]:
    """Time the chapter's function: one message at a time, padded to 120 tokens, in fp32."""
    model = as_book(random_model(task, "fp32", attn_implementation="eager"))
    encoding, texts = gpt2_encoding(), task.sample[: max(1, task.some // 5)]
    native_loop.classify(SHORT, model, encoding, CHAPTERS_LENGTH)
    taken = seconds(lambda: [native_loop.classify(text, model, encoding, CHAPTERS_LENGTH) for text in texts])
    return {"rate": len(texts) / taken, "how": f"{len(texts)} messages"}


def transformers_pipeline(task: Task, precision: Precision, batch_size: int) -> dict[str, Any]:
    """Time `pipeline("text-classification")`, with the messages in their given order."""
    tokenizer = build_tokenizer()
    model = gpt2_classifier(task.model_size).eval().to(_dtype(precision))
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device=_device())
    classify([SHORT] * batch_size, batch_size=batch_size)
    taken = seconds(lambda: classify(task.sample, batch_size=batch_size, truncation=True))
    return {"rate": len(task.sample) / taken, "how": f"{len(task.sample)} messages"}


def ours(task: Task, precision: Precision) -> dict[str, Any]:
    """Time `SpamClassifier` on all messages; of equal ones, 403 in the collection, the first is scored."""
    classifier = SpamClassifier(random_model(task, precision), build_tokenizer())
    classifier([SHORT])
    taken = seconds(lambda: classifier(task.texts))
    return {"rate": len(task.texts) / taken, "how": f"{len(task.texts):,} messages"}


def one_message(task: Task, precision: Precision) -> dict[str, Any]:
    """Time one short message from text to label, and the bare forward pass on its ids, in turns."""
    model, tokenizer = random_model(task, precision), build_tokenizer()
    classifier = SpamClassifier(model, tokenizer)
    classifier.repeats = Repeats(0)
    ids = torch.tensor([tokenizer(SHORT)["input_ids"]], device=model.device)
    whole, bare = [], []
    with torch.inference_mode():
        for _ in range(60):
            whole.append(seconds(lambda: classifier([SHORT])))
            bare.append(seconds(lambda: model(ids)))
    medians = [sorted(times[10:])[25] for times in (whole, bare)]
    return {"milliseconds": medians[0] * 1e3, "bare": medians[1] * 1e3, "tokens": ids.shape[1]}


def load(task: Task) -> dict[str, Any]:
    """Time loading a checkpoint from disk and classifying a first message."""
    with tempfile.TemporaryDirectory() as folder:
        random_model(task, "fp32").save_pretrained(folder)
        build_tokenizer().save_pretrained(folder)
        return {"seconds": seconds(lambda: SpamClassifier.from_pretrained(folder)([SHORT]), repeat=3)}


def random_model(task: Task, precision: Precision, **options: Any) -> SpamGPTForSequenceClassification:
    torch.manual_seed(123)
    sizes: dict[str, Any] = {**SIZES[task.model_size], "id2label": dict(enumerate(HAM_SPAM)), **options}
    return SpamGPTForSequenceClassification(SpamGPTConfig(**sizes)).eval().to(_device(), _dtype(precision))


def _dtype(precision: Precision) -> torch.dtype:
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
