"""A report's main figures in the Hub's `.eval_results` format, where the messages are a data set of the Hub."""

from collections.abc import Mapping

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

HUB_DATASET = "ucirvine/sms_spam"  # the SMS Spam Collection on the Hub
RESULTS_FILE = ".eval_results/hf-spam.yaml"  # in a report and in a model's repository
_PUBLISHED = ("accuracy", "recall", "blocked", "mcc", "log_loss")


def eval_results(source: str, messages: int, figures: Mapping[str, float]) -> str | None:
    """Return the content of a file for `.eval_results/` in a model's repository; `None` for messages of the user's.

    The Hub ranks only figures whose data set it lists as a benchmark, with `task_id` among its tasks; we found no such
    tasks of this one, so these names are ours. The notes say which messages are meant: the data set has no split.

    Args:
        source: See `data.loading.Prepared`.
        messages: How many there are of them.
        figures: By name.
    """
    if source not in ("uci", "sample"):
        return None
    notes = f"{messages:,} test messages, held out by hf_spam; the data set itself has no test split"
    entries = [
        EvalResultEntry(dataset_id=HUB_DATASET, task_id=name, value=round(figures[name], 4), notes=notes)
        for name in _PUBLISHED
        if name in figures
    ]
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)
