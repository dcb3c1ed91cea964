"""What others use for the same task, for the benchmarks."""

from transformers import GPT2Config, GPT2ForSequenceClassification

from ..conversion.from_gpt2 import SIZES
from ..data.tokenization import END_OF_TEXT_ID


def gpt2_classifier(model_size: str) -> GPT2ForSequenceClassification:
    """The GPT-2 classifier of transformers in one of our sizes: random weights, no dropout, GPT-2's padding."""
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
