"""Teach a model corrections through the embeddings of its tokens, and leave everything else of it alone.

Where all of a small model trained, what its head reads of a missed message looks like what it reads of messages of the
wrong label, and moving the head moves these, too. The embeddings can tell them apart. They are trained until every
correction is right, while the scores of messages that the model was trained on are kept.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from ..conversion.backend import mask_after
from ..errors import UserError
from ..inference.classifier import SpamClassifier
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..tokens.batching import token_batches
from .leads import ENOUGH, lack, lead_of

_RATE = 5e-4
_STEPS = 100
_KEPT = 32  # messages a step whose scores are kept


def learn_by_embeddings(
    classifier: SpamClassifier,
    model: SpamGPTForSequenceClassification,
    corrections: Sequence[str],
    labels: Sequence[int],
    training: Sequence[str],
    before: Tensor,
) -> None:
    """Change the token embeddings of a model until it gets every correction right.

    Args:
        classifier: Of the model.
        model: Changed in place.
        corrections: The corrected messages.
        labels: The ids of their right labels.
        training: Messages whose scores should stay.
        before: Their logits. *Shape:* `[len(training), num_labels]`.

    Raises:
        UserError: If it does not within a hundred steps, with how many it fails on.
    """
    targets = torch.tensor(labels)
    own, kept = classifier.tokenize(corrections), classifier.tokenize(training)
    by_length = sorted(range(len(kept)), key=lambda row: len(kept[row]))  # neighbours need little padding
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    embeddings = model.model.tok_emb.weight.requires_grad_()
    optimizer = torch.optim.AdamW([embeddings], lr=_RATE, weight_decay=0.0, fused=True)
    model.eval()
    for _ in range(_STEPS):
        leads = torch.cat([lead_of(_logits(model, own, rows), targets[rows]) for rows in _batches(classifier, own)])
        if (leads >= ENOUGH).all():
            return
        first = int(torch.randint(max(1, len(kept) - _KEPT + 1), (), generator=generator))
        rows = by_length[first : first + _KEPT]
        after = _logits(model, kept, rows).log_softmax(dim=1)
        loss = lack(leads).mean() + F.kl_div(after, before[rows].softmax(dim=1), reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    wrong = int((leads < ENOUGH).sum())
    raise UserError(
        f"expected corrections that can all be learned, found {wrong:,} of {len(labels):,} that cannot in {_STEPS} "
        f"steps. Train anew with them among the training messages."
    )


def _batches(classifier: SpamClassifier, ids: Sequence[Sequence[int]]) -> list[list[int]]:
    return list(token_batches(list(map(len, ids)), classifier.token_budget))


def _logits(model: SpamGPTForSequenceClassification, ids: Sequence[Sequence[int]], rows: Sequence[int]) -> Tensor:
    """Return the logits of some of the texts. *Shape:* `[len(rows), num_labels]`."""
    own = [torch.tensor(ids[row], dtype=torch.long) for row in rows]
    input_ids = pad_sequence(own, batch_first=True, padding_value=model.config.pad_token_id or 0)  # [B, T]
    attention_mask = mask_after(torch.tensor([len(each) for each in own]), input_ids.shape[1])  # [B, T]
    logits: Tensor = model(input_ids, attention_mask=attention_mask).logits
    return logits
