"""Which words of a text make its label: integrated gradients (Sundararajan et al. 2017), by captum.

The gradient of the label's log-odds is followed from token embeddings of nothing but zeros to those of the text.
Unlike those of `explaining.explain`, these weights are complete: they sum to the difference between the log-odds of
the text and of the zeros. That is checked, and the path is divided more finely until it holds.
"""

from typing import Any

import torch
from torch import Tensor

from ..data.labels import MULTI, REGRESSION, Task
from ..errors import UserError
from .classifier import SpamClassifier
from .explaining import Explanation, Weight, find_words

_STEPS = (32, 128, 512)
_TOLERANCE = 0.01  # of the difference, or absolute where that is smaller than 1
_BATCH = 16  # rows at a time


def integrate(classifier: SpamClassifier, text: str, task: Task) -> Explanation:
    """Return what each word of a text adds to the log-odds of a label; which one, `explain` says.

    Args:
        classifier: A checkpoint of ours: exports have no gradients.
        text: A text.
        task: Its labels.

    Raises:
        UserError: If captum is missing, the model is an export, the text is cut, or the weights are not complete.
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError:
        raise UserError('--explain_method integrated_gradients needs captum: pip install "hf_spam[explain]"') from None
    tokenizer, words = classifier.tokenizer, find_words(text)
    model: Any = classifier.model  # a checkpoint of ours takes embeddings, too
    if not hasattr(model, "get_input_embeddings"):
        raise UserError(
            "--explain_method integrated_gradients: expected a checkpoint, found an export. Use occlusion."
        )
    encoded = tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
    spans = encoded["offset_mapping"][0].tolist()
    most = min(tokenizer.model_max_length, model.config.max_text_length)
    if not 0 < len(spans) <= most:
        raise UserError(f"--explain: expected a text of 1 to {most:,} tokens, found {len(spans):,}. Cut it.")
    ids = encoded["input_ids"].to(model.device)
    whole = classifier.logits([text])
    id_ = task.positive_id if task.is_binary else int(whole[0].argmax())

    def odds(embeddings: Tensor) -> Tensor:
        mask = torch.ones(embeddings.shape[:2], dtype=torch.long, device=embeddings.device)
        output: Any = model(inputs_embeds=embeddings, attention_mask=mask)
        return _log_odds(output.logits, id_, task)

    embeddings = model.get_input_embeddings()(ids).detach()  # [1, T, C]
    with torch.no_grad():
        ends = [float(odds(rows)) for rows in (embeddings, torch.zeros_like(embeddings))]
    allowed = _TOLERANCE * max(1.0, abs(ends[0] - ends[1]))
    for steps in _STEPS:
        found = IntegratedGradients(odds).attribute(embeddings, n_steps=steps, internal_batch_size=_BATCH)
        of_token = found.sum(dim=2)[0].double().cpu()  # [T]
        if abs(float(of_token.sum()) - (ends[0] - ends[1])) <= allowed:
            break
    else:
        raise UserError(
            f"--explain: expected weights that sum to {ends[0] - ends[1]:.3f}, found {float(of_token.sum()):.3f} "
            f"after {steps} steps. Use --explain_method occlusion."
        )
    weights = [Weight(word[0], word.start(), word.end(), 0.0) for word in words]
    of_word = torch.zeros(len(words) + 1, dtype=torch.float64)  # the last: tokens of no word
    for (start, end), value in zip(spans, of_token, strict=True):
        of_word[next((number for number, one in enumerate(weights) if one.start < end and start < one.end), -1)] += (
            value
        )
    weights = [
        Weight(one.word, one.start, one.end, float(value)) for one, value in zip(weights, of_word[:-1], strict=True)
    ]
    return Explanation(task.names[id_], ends[0], weights, rest=ends[1] + float(of_word[-1]))


def _log_odds(logits: Tensor, id_: int, task: Task) -> Tensor:
    """Do what `explaining.log_odds` does, with gradients."""
    logits = logits.double()
    if task.problem_type in (MULTI, REGRESSION):
        return logits[:, id_]
    rest = torch.cat([logits[:, :id_], logits[:, id_ + 1 :]], dim=1)
    return logits[:, id_] - rest.logsumexp(dim=1)
