"""A report's main figures in the Hub's `.eval_results` format, where the messages are a data set of the Hub."""

from collections.abc import Mapping

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from ..errors import one_line

HUB_DATASET = "ucirvine/sms_spam"  # the SMS Spam Collection on the Hub
_PUBLISHED = ("accuracy", "recall", "blocked", "mcc", "log_loss")


def eval_results(source: str, title: str, figures: Mapping[str, float]) -> str | None:
    """Return the content of a file for `.eval_results/` in a model's repository; `None` for messages of the user's.

    Args:
        source: See `data.loading.Prepared`.
        title: The model and the messages, for the notes.
        figures: By name.
    """
    if source not in ("uci", "sample"):
        return None
    entries = [
        EvalResultEntry(
            dataset_id=HUB_DATASET, task_id=name, value=round(figures[name], 4), notes=one_line(f"{name}: {title}")
        )
        for name in _PUBLISHED
        if name in figures
    ]
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)
