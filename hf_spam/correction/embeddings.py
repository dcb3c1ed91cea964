"""Teach a model corrections through the embeddings of their rare tokens, and leave everything else of it alone.

Where all of a small model trained, what its head reads of a missed message looks like what it reads of messages of the
wrong label, and moving the head moves these, too. The words of the missed message tell them apart. So the embeddings
of its tokens learn, each the more slowly the more training messages have it: what few messages have can change without
changing the labels of others. The steps grow until every correction is right. (To keep the scores of training messages
by a second loss changed nothing on the collection, where these scores are far from the threshold.)
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from ..engines.backend import mask_after
from ..errors import UserError
from ..inference.classifier import SpamClassifier
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..tokens.batching import token_batches
from .leads import ENOUGH, lack, lead_of

_RATE = 0.01  # of a token that no training message has; of one that a hundred have, a hundredth
_GROWTH = 1.05  # of the rate, a step
_STEPS = 200


def learn_by_embeddings(
    classifier: SpamClassifier,
    model: SpamGPTForSequenceClassification,
    corrections: Sequence[str],
    labels: Sequence[int],
    training: Sequence[str],
) -> None:
    """Change the embeddings of the corrections' tokens until a model gets every correction right.

    Args:
        classifier: Of the model.
        model: Changed in place.
        corrections: The corrected messages.
        labels: The ids of their right labels.
        training: What the model was trained on.

    Raises:
        UserError: If it does not within two hundred steps, with how many it fails on.
    """
    targets = torch.tensor(labels)
    own, known = classifier.tokenize(corrections), classifier.tokenize(training)
    model.requires_grad_(False).eval()
    embeddings = model.model.tok_emb
    tokens = torch.tensor(sorted({token for ids in own for token in ids}))  # [U]
    place = torch.zeros(len(embeddings.weight), dtype=torch.long)  # of a token among the changes; 0 of all others
    place[tokens] = torch.arange(1, len(tokens) + 1)
    having = Counter(token for ids in known for token in set(ids))
    speeds = torch.tensor([0.0, *(1 / (1 + having[token]) for token in tokens.tolist())])[:, None]  # [1 + U, 1]
    changes = torch.zeros(len(speeds), embeddings.weight.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([changes], lr=_RATE)
    growth = torch.optim.lr_scheduler.ExponentialLR(optimizer, _GROWTH)

    def change(_: Any, inputs: tuple[Tensor], found: Tensor) -> Tensor:
        return found + F.embedding(place[inputs[0]], changes * speeds)

    hook = embeddings.register_forward_hook(change)
    try:
        for _ in range(_STEPS):
            leads = torch.cat(
                [lead_of(_logits(model, own, rows), targets[rows]) for rows in _batches(classifier, own)]
            )
            if (leads >= ENOUGH).all():
                break
            optimizer.zero_grad()
            lack(leads).mean().backward()
            optimizer.step()
            growth.step()
    finally:
        hook.remove()
    wrong = int((leads < ENOUGH).sum())
    if wrong:
        raise UserError(
            f"expected corrections that can all be learned, found {wrong:,} of {len(labels):,} that cannot in "
            f"{_STEPS} steps. Train anew with them among the training messages."
        )
    with torch.no_grad():
        embeddings.weight[tokens] += (changes * speeds)[1:]


def _batches(classifier: SpamClassifier, ids: Sequence[Sequence[int]]) -> list[list[int]]:
    return list(token_batches(list(map(len, ids)), classifier.token_budget))


def _logits(model: SpamGPTForSequenceClassification, ids: Sequence[Sequence[int]], rows: Sequence[int]) -> Tensor:
    """Return the logits of some of the texts. *Shape:* `[len(rows), num_labels]`."""
    own = [torch.tensor(ids[row], dtype=torch.long) for row in rows]
    input_ids = pad_sequence(own, batch_first=True, padding_value=model.config.pad_token_id or 0)  # [B, T]
    attention_mask = mask_after(torch.tensor([len(each) for each in own]), input_ids.shape[1])  # [B, T]
    logits: Tensor = model(input_ids, attention_mask=attention_mask).logits
    return logits
