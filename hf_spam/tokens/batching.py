"""Group texts of similar length into batches, to keep padding small."""

from collections.abc import Iterator, Sequence


def token_batches(
    lengths: Sequence[int], budget: int, max_texts: int | None = None, max_padding: int | None = None
) -> Iterator[list[int]]:
    """Yield batches of texts, the longest texts first, that stay within a budget of positions.

    Args:
        lengths: The length of each text in tokens.
        budget: The largest batch, in positions, padding included. A longer text is a batch of its own.
        max_texts: The largest number of texts in a batch.
        max_padding: The largest number of positions in a batch that hold only padding. Few texts differ much in
            length; with more padding than a batch costs by itself, two are faster.

    Yields:
        The indices in `lengths` of the texts of a batch.
    """
    batch: list[int] = []
    padding = 0
    for text in sorted(range(len(lengths)), key=lambda text: -lengths[text]):
        width = max(1, lengths[batch[0] if batch else text])
        padded = max_padding is not None and padding + width - lengths[text] > max_padding
        if batch and (width * (len(batch) + 1) > budget or len(batch) == max_texts or padded):
            yield batch
            batch, padding, width = [], 0, max(1, lengths[text])
        batch.append(text)
        padding += width - lengths[text]
    if batch:
        yield batch
