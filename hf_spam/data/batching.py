"""Texts → batches of similar length, so that little of a batch is padding."""

from collections.abc import Iterator, Sequence


def token_batches(lengths: Sequence[int], budget: int, max_texts: int | None = None) -> Iterator[list[int]]:
    """Group texts, the longest first, so that each group padded to its longest text stays within a budget.

    Args:
        lengths: Of each text, in tokens.
        budget: Positions of a batch at most, padding included; a text longer than it makes a batch of its own.
        max_texts: Texts of a batch at most.

    Yields:
        Positions in `lengths`.
    """
    batch: list[int] = []
    for text in sorted(range(len(lengths)), key=lambda text: -lengths[text]):
        width = max(1, lengths[batch[0] if batch else text])
        if batch and (width * (len(batch) + 1) > budget or len(batch) == max_texts):
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch
