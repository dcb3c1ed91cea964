"""The card of a data set: what the splits hold, how to load them, where the messages come from.

The text is in the template `data_card.md`.
"""

from typing import Any

from datasets import DatasetDict
from huggingface_hub import DatasetCardData

from ..data.arguments import DataArguments
from ..data.labels import MULTI, REGRESSION, Task
from ..data.splits import count, count_name, fingerprint, repeated, task_of
from ..reporting.publishing import HUB_DATASET
from .cards import describe_preparation, render


def build_data_card(
    splits: DatasetDict, source: str, arguments: DataArguments, repository: str, given: bool = False
) -> str:
    """Return the card of prepared splits as Markdown, headed by the metadata that the Hub and `load_dataset` read.

    Args:
        splits: From `data.loading.prepare`.
        source: Where the messages come from; see `data.loading.Prepared`.
        arguments: How the splits were made.
        repository: `owner/name`, for the usage example.
        given: Whether the messages were split before.
    """
    collection, counts, task = source in ("uci", "sample"), count(splits), task_of(splits)
    metadata = DatasetCardData(
        pretty_name=repository.split("/")[-1],
        language="en" if collection else None,
        license="cc-by-4.0" if collection else None,
        task_categories=["text-classification"],
        size_categories=_size(sum(map(len, splits.values()))),
        source_datasets=[f"extended|{HUB_DATASET}"] if collection else None,
        tags=[*(["sms"] if collection else []), *(["spam-detection"] if task.is_spam else []), "hf-spam"],
        dataset_info={
            "features": [{"name": "text", "dtype": "string"}, {"name": "label", **_label_type(task)}],
            "splits": [{"name": name, "num_examples": len(rows)} for name, rows in splits.items()],
        },
        configs=[
            {"config_name": "default", "data_files": [{"split": name, "path": data_file(name)} for name in splits]}
        ],
    )
    facts = {
        "metadata": f"{metadata.to_yaml()}\n",
        "repository": repository,
        "total": int(counts["total"].sum()),
        "labels": task.names,
        "columns": [count_name(label) for label in task.names] if task.problem_type != REGRESSION else [],
        "task": task,
        "counts": counts.to_dict(orient="index"),
        "source": source,
        "preparation": describe_preparation(arguments, task, given),
        "balanced": not given and arguments.plan(task).balance == "undersample",
        "repeated": repeated(splits),
        "fingerprint": fingerprint(splits),
    }
    return render("data_card.md", facts)


def _label_type(task: Task) -> dict[str, Any]:
    """Return the type of the column of labels in the Hub's notation."""
    if task.problem_type == REGRESSION:
        return {"dtype": "float64"}
    names = {"class_label": {"names": {str(id_): label for id_, label in enumerate(task.names)}}}
    return {"list": names} if task.problem_type == MULTI else {"dtype": names}


def data_file(split: str) -> str:
    """Return the path of a split's file in the repository."""
    return f"data/{split}-00000-of-00001.parquet"


def _size(messages: int) -> str:
    """Return the Hub's size category."""
    for limit, name in ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M")):
        if messages < limit:
            return name
    return "1M<n<10M"
