"""Our models as the book's `GPTModel`: the same modules under the book's names, with the head as `out_head`."""

from torch import nn

from ..model.gpt import GPTModel
from ..model.modeling_spam_gpt import SpamGPTForCausalLM, SpamGPTForSequenceClassification

AnyGPT = GPTModel | SpamGPTForSequenceClassification | SpamGPTForCausalLM


def as_book(model: AnyGPT) -> GPTModel:
    """Return a `GPTModel` of a model's own modules: what is loaded into the one, or trained in it, is so in both.

    Args:
        model: A classifier or a language model of ours; or a `GPTModel`, which is returned as it is.
    """
    if isinstance(model, GPTModel):
        return model
    book = GPTModel.__new__(GPTModel)
    nn.Module.__init__(book)
    book.config = model.config
    for name, module in model.model.named_children():
        book.add_module(name, module)
    book.out_head = model.score if isinstance(model, SpamGPTForSequenceClassification) else model.lm_head
    return book.train(model.training)
