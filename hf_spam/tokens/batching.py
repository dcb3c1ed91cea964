"""Group texts of similar length into batches, to keep padding small."""

from collections.abc import Iterator, Sequence


def token_batches(lengths: Sequence[int], budget: int, max_texts: int | None = None) -> Iterator[list[int]]:
    """Yield batches of texts, the longest texts first, that stay within a budget of positions.

    Args:
        lengths: The length of each text in tokens.
        budget: The largest batch, in positions, padding included. A longer text is a batch of its own.
        max_texts: The largest number of texts in a batch.

    Yields:
        The indices in `lengths` of the texts of a batch.
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
