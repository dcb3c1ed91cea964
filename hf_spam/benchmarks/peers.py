"""The peer that benchmarks compare with: transformers' own GPT-2 classifier in one of our sizes."""

from transformers import GPT2Config, GPT2ForSequenceClassification

from ..conversion.from_gpt2 import SIZES
from ..tokens.tokenization import END_OF_TEXT_ID


def gpt2_classifier(model_size: str) -> GPT2ForSequenceClassification:
    """Return transformers' GPT-2 classifier with random weights, no dropout and GPT-2's padding id."""
    sizes = SIZES[model_size]
    config = GPT2Config(
        n_embd=sizes["emb_dim"],
        n_layer=sizes["n_layers"],
        n_head=sizes["n_heads"],
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        pad_token_id=END_OF_TEXT_ID,
    )
    return GPT2ForSequenceClassification(config)
