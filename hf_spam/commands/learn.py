"""`hf-spam learn`: a copy of a model that gets corrected messages right, within seconds.

The file has a text and its right label in each row, in any format that `hf-spam train --data_file` takes. Where all of
the model trained, the embeddings of the corrections' tokens change, rare ones most; else the head, with the scores of
training messages kept. The command refuses if a correction cannot be learned, or if a message of the validation split
would be blocked that should pass, and did.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..correction.embeddings import learn_by_embeddings
from ..correction.head import learn_by_head, read_features
from ..data.arguments import DataArguments
from ..data.labels import SINGLE, task_of_config
from ..data.loading import Prepared
from ..data.splits import SPLITS
from ..dataclass_options import DataclassParser
from ..errors import UserError, one_line
from ..evaluation.metrics import figures_table
from ..evaluation.report import NOT_HERE, Chosen, choose_messages, own_splits, report_splits
from ..inference.classifier import SpamClassifier
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..options import THE_RUN, merge
from ..system.run_folder import staged
from ..trainable.recorded import trained_names
from ..values.ranges import COUNT, FILE, FOLDER
from .export import change_record, copy_rest, load_for_copy

_OWN = "corrections"  # beside the names of the splits
_REPLAYED = 500  # training messages, at most


def make_parser() -> DataclassParser:
    """Return the parser of the command's options."""
    parser = DataclassParser(
        DataArguments, prog="hf-spam learn", description=__doc__, arguments="MODEL FILE", without=NOT_HERE
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="A folder that `hf-spam train` or `hf-spam calibrate` saved.")
    add("corrections", metavar=FILE, help="The corrected messages.")
    add("--output_dir", required=True, metavar=FOLDER, help="Where the copy goes.", group=THE_RUN)
    add("--overwrite_output_dir", action="store_true", help="Replace what is there.", group=THE_RUN)
    add(
        "--replayed",
        type=int,
        range=COUNT,
        help=f"Training messages that are scored before and after (default: {_REPLAYED:,}).",
        group=THE_RUN,
    )
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given."""
    return {"replayed": _REPLAYED, **merge(make_parser().given(argv))}


def main(options: dict[str, Any]) -> None:
    """Teach the model, check what it costs, and save the copy."""
    name = options["model"]
    classifier, model, folder, output_dir = load_for_copy(options)
    task = task_of_config(model.config, options.get("positive_label"))
    if task.problem_type != SINGLE:
        raise UserError(f"{name}: expected a model with one label for each text, found another. Train it anew.")
    corrections = choose_messages(name, folder, model.config, {"data_file": [options["corrections"]]}, "all")
    check_agreement(corrections, options["corrections"])
    prepared = own_splits(name, folder, model.config, options)
    training = prepared.splits["train"]["text"][:]
    prepared.splits["train"] = prepared.splits["train"].take(min(options["replayed"], len(training)))
    texts = {split: prepared.splits[split]["text"][:] for split in SPLITS}
    if trained_names(folder, model)[0] == "all":
        before, logits = _teach_embeddings(classifier, model, corrections, texts, training)
    else:
        before, logits = _teach_head(classifier, model, corrections, texts)
    wrong = sum(found != label for found, label in zip(before[_OWN].tolist(), corrections.labels, strict=True))
    changed = int((before["train"] != logits["train"].argmax(dim=1)).sum())
    refuse_new_blocks(before["validation"], logits["validation"].argmax(dim=1), prepared)
    print(one_line(f"{len(corrections.texts):,} corrections, {wrong:,} of them new to the model: all are right now"))
    print(f"another label for {changed:,} of {len(texts['train']):,} training messages")
    with staged(output_dir, trains=False) as staging:
        model.save_pretrained(staging)
        copy_rest(classifier, folder, staging)
        check_saved(staging, corrections)
        figures = report_splits(prepared, logits)
        number = len(corrections.texts)
        change_record(
            staging, lambda record: {"splits": figures, "corrections": record.get("corrections", 0) + number}
        )
    print("", figures_table(figures), "", sep="\n")
    print(one_line(f'saved to {output_dir}; try: hf-spam predict {output_dir} "your text"'))


def check_agreement(corrections: Chosen, file: str) -> None:
    """Check that no text is corrected to two labels.

    Raises:
        UserError: If one is.
    """
    labels: dict[str, int] = {}
    for text, label in zip(corrections.texts, corrections.labels, strict=True):
        if labels.setdefault(text, label) != label:
            raise UserError(f"{file}: expected one label for each text, found two for {text[:60]!r}. Remove one.")


def _teach_head(
    classifier: SpamClassifier, model: SpamGPTForSequenceClassification, corrections: Chosen, texts: Mapping[str, Any]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Change the head: what it reads of each text stays, and is computed once."""
    features = {split: read_features(classifier, own) for split, own in {**texts, _OWN: corrections.texts}.items()}
    before = {name: _apply(model.score, read).argmax(dim=1) for name, read in features.items()}
    weight, bias = learn_by_head(model.score, features[_OWN], corrections.labels, features["train"])
    with torch.no_grad():
        model.score.weight.copy_(weight)
        model.score.bias.copy_(bias)
    return before, {split: _apply(model.score, features[split]) for split in texts}


def _teach_embeddings(
    classifier: SpamClassifier,
    model: SpamGPTForSequenceClassification,
    corrections: Chosen,
    texts: Mapping[str, Any],
    training: Sequence[str],
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Change the embeddings of tokens."""
    old = {name: classifier.logits(texts[name]) for name in ("train", "validation")}
    old[_OWN] = classifier.logits(corrections.texts)
    learn_by_embeddings(classifier, model, corrections.texts, corrections.labels, training)
    return {name: logits.argmax(dim=1) for name, logits in old.items()}, {
        split: classifier.logits(own) for split, own in texts.items()
    }


def _apply(head: nn.Linear, features: torch.Tensor) -> torch.Tensor:
    """Return the logits of a head. *Shape:* `[N, num_labels]`."""
    return F.linear(features.float(), head.weight.detach(), head.bias.detach())


def check_saved(folder: Path, corrections: Chosen) -> None:
    """Check that the saved copy, read as a user reads it, gets every correction right.

    Raises:
        RuntimeError: If it does not.
    """
    found = SpamClassifier.from_pretrained(folder).logits(corrections.texts).argmax(dim=1).tolist()
    if found != corrections.labels:
        raise RuntimeError(f"{folder}: expected labels {corrections.labels}, found {found}")


def refuse_new_blocks(before: torch.Tensor, after: torch.Tensor, prepared: Prepared) -> None:
    """Check that no message of the validation split is blocked that should pass, and did.

    Raises:
        UserError: If one is: then the promise of an operating point would no longer hold.
    """
    if prepared.task.positive is None:
        return
    positive = prepared.task.positive_id
    should_pass = torch.tensor(prepared.splits["validation"]["label"][:]) != positive
    lost = int((should_pass & (before != positive) & (after == positive)).sum())
    if lost:
        raise UserError(
            f"expected corrections that block nothing else, found {lost:,} of {int(should_pass.sum()):,} messages of "
            f"the validation split that would be blocked now and should not. Give fewer, or train anew with them."
        )
