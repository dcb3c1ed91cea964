"""`hf-spam export`: convert a checkpoint for other programs, and check the result before it is kept.

The result is an ONNX file for ONNX Runtime, in float32 or int8 (needs the extra [onnx]), a page that classifies in the
browser with the int8 one, transformers' own GPT2ForSequenceClassification, or an adapter merged into its base as a
checkpoint of ours. The result scores the messages of a split of the checkpoint's own data, or others. If too many
labels differ from the checkpoint's, nothing is written.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checkpoint.configuration import is_adapter
from ..checkpoint.opening import ONNX
from ..conversion.agreement import MAX_CHANGED, measure_agreement
from ..conversion.browser import describe_for_browser
from ..conversion.to_gpt2 import to_gpt2
from ..conversion.to_onnx import require_extra, to_onnx
from ..conversion.to_web import (
    INDEX,
    RUNTIME,
    RUNTIME_VERSION,
    Page,
    Settings,
    read_runtime,
    require_page_size,
    to_web,
)
from ..data.arguments import DataArguments
from ..data.labels import task_of_config
from ..dataclass_options import DataclassParser
from ..engines.loading import find_model
from ..errors import UserError, one_line
from ..evaluation.report import NOT_HERE, choose_messages
from ..inference.classifier import SpamClassifier
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..options import merge
from ..system.reading import is_folder, read_json
from ..system.run_folder import AGREEMENT_FILE, ARGUMENTS_FILE, METRICS_FILE, check_writable, staged
from ..values.ranges import FOLDER, SHARE


def make_parser() -> DataclassParser:
    """Return the parser of the command's options."""
    parser = DataclassParser(
        DataArguments, prog="hf-spam export", description=__doc__, arguments="MODEL", without=NOT_HERE
    )
    parser.add_argument("model", metavar="MODEL", help="A folder that `hf-spam train` saved.")
    parser.add_argument("--output_dir", required=True, metavar=FOLDER, help="Folder to write.")
    parser.add_argument("--overwrite_output_dir", action="store_true", help="Replace what --output_dir already holds.")
    parser.add_argument(
        "--format",
        choices=["onnx", "web", "gpt2", "merged"],
        default="onnx",
        help="onnx; web for a page that needs no server; gpt2 for transformers' own GPT-2; or merged for an adapter "
        "within its base.",
    )
    parser.add_argument(
        "--int8", action="store_true", help="Write ONNX with 8-bit weights: a quarter of the size, and faster."
    )
    parser.add_argument(
        "--runtime",
        metavar=FOLDER,
        help=f"With --format web: the unpacked npm package {RUNTIME} (default: npm fetches {RUNTIME_VERSION}).",
    )
    parser.add_argument(
        "--max_changed",
        type=float,
        range=SHARE,
        help=f"Share of the labels that may change (default: {MAX_CHANGED}).",
    )
    parser.add_argument(
        "--split", choices=["train", "validation", "test", "all"], help="What to compare on (default: test)."
    )
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given, and the default of `max_changed`."""
    options = merge(make_parser().given(argv))
    return {"max_changed": MAX_CHANGED, **options}


def main(options: dict[str, Any]) -> None:
    """Export, compare, and keep or refuse the result."""
    model, output_dir = Path(options["model"]), Path(options["output_dir"])
    format_, int8 = options.get("format", "onnx"), options.get("int8", False)
    to_page = format_ == "web"
    if format_ in ("onnx", "web"):
        require_extra()
    elif int8:
        raise UserError(f"expected --int8 with --format onnx, found --format {format_}, which has no 8-bit weights.")
    if "runtime" in options and not to_page:
        raise UserError(f"expected --runtime with --format web, found --format {format_}. Leave it out.")
    int8 = int8 or to_page
    require_another_folder(model, output_dir)
    if format_ == "merged" and is_folder(model) and not is_adapter(model):
        raise UserError(f"{model}: expected an adapter, found none: nothing is to be merged. Use it as it is.")
    output_dir = check_writable(output_dir, options.get("overwrite_output_dir", False))
    classifier, original = load_checkpoint(options["model"])
    if format_ == "gpt2" and classifier.tokenizer("a")["input_ids"][-1] == original.config.pad_token_id:
        raise UserError(
            f"{model}: expected a tokenizer that ends no text with its padding token, by which transformers' GPT-2 "
            f"finds the end of a text, found one that does. Export to ONNX instead."
        )
    page = plan_page(classifier, original, model, options.get("runtime")) if to_page else None
    converted = original if format_ == "merged" else to_gpt2(original) if format_ == "gpt2" else None
    chosen = choose_messages(options["model"], model, original.config, options, options.get("split"))
    with staged(output_dir, trains=False) as folder:
        made = Path(tempfile.mkdtemp(prefix=".run-", dir=folder)) if page else folder
        if converted is None:
            to_onnx(original, made, int8)
        else:
            converted.save_pretrained(made)
        copy_rest(classifier, model, made)
        exported = SpamClassifier.from_pretrained(made)
        agreement = measure_agreement(
            classifier.logits(chosen.texts),
            exported.logits(chosen.texts),
            chosen.task.targets(chosen.labels),
            chosen.task.problem_type,
        )
        agreement.require(options["max_changed"])
        if page:
            to_web(made / ONNX, folder, page)
            shutil.rmtree(made)
        # A page is published: it names no place of this machine.
        name = page.settings.name if page else options["model"]
        record = {"model": name, "int8": int8, "messages_of": chosen.name, **agreement.to_dict()}
        (folder / AGREEMENT_FILE).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        size = sum(path.stat().st_size for path in folder.iterdir() if page or path.match("model*")) / 2**20
    print(f"{'int8' if int8 else 'float32'}, {size:,.1f} MiB")
    print(one_line(f"{chosen.name}: {agreement}"))
    use = f"open {output_dir / INDEX} in a browser" if page else f'try: hf-spam predict {output_dir} "your text"'
    print(one_line(f"saved to {output_dir}; {use}"))


def plan_page(
    classifier: SpamClassifier, model: SpamGPTForSequenceClassification, place: Path, runtime: str | None
) -> Page:
    """Return all that a page needs but the int8 model, found and checked before the export.

    Raises:
        UserError: If a page cannot do what the model needs, or the runtime for browsers is not there.
    """
    config: Any = model.config
    require_page_size(sum(parameter.numel() for parameter in model.parameters()))
    settings = Settings(
        name=place.resolve().name,
        labels=classifier.labels,
        problem_type=task_of_config(config).problem_type,
        max_length=classifier.max_length,
        pad_token_id=config.pad_token_id,
        point=config.operating_point,
    )
    tokenizer: Any = classifier.tokenizer
    return Page(settings, describe_for_browser(tokenizer), read_runtime(runtime))


def require_another_folder(model: str | os.PathLike[str], output_dir: Path) -> None:
    """Check that what is made of a checkpoint does not take its place.

    Raises:
        UserError: If it would.
    """
    if os.path.realpath(model) == os.path.realpath(output_dir):
        raise UserError(f"{output_dir}: expected a new folder, found the model itself. Choose another --output_dir.")


def load_for_copy(options: Mapping[str, Any]) -> tuple[SpamClassifier, SpamGPTForSequenceClassification, Path, Path]:
    """Load the checkpoint `model` of which a changed copy goes to `output_dir`.

    Returns:
        The classifier, its model, its folder, and the folder of the copy.

    Raises:
        UserError: If either cannot be used.
    """
    name, output_dir = options["model"], Path(options["output_dir"])
    require_another_folder(name, output_dir)
    output_dir = check_writable(output_dir, options.get("overwrite_output_dir", False))
    folder = find_model(name)
    return *load_checkpoint(name), folder, output_dir


def load_checkpoint(name: str) -> tuple[SpamClassifier, SpamGPTForSequenceClassification]:
    """Load a checkpoint on the CPU; return its classifier and its model.

    Raises:
        UserError: If it is an export.
    """
    classifier = SpamClassifier.from_pretrained(name)
    model = classifier.model
    if not isinstance(model, SpamGPTForSequenceClassification):
        raise UserError(f"{name}: expected a checkpoint, found an export. Name the checkpoint that it was made from.")
    model.to("cpu")  # type: ignore[arg-type]
    return classifier, model


def change_record(folder: Path, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Replace fields of the record that a copy has of its run, if it has one."""
    if (path := folder / METRICS_FILE).is_file():
        record = read_json(path)
        text = json.dumps({**record, **change(record)}, indent=2, ensure_ascii=False)
        path.write_text(f"{text}\n", encoding="utf-8")


def copy_rest(classifier: SpamClassifier, model: Path, folder: Path) -> None:
    """Save the tokenizer, and copy the files that `hf-spam evaluate` finds the data by."""
    classifier.tokenizer.save_pretrained(folder)
    for file in (ARGUMENTS_FILE, METRICS_FILE):
        if (model / file).is_file():
            shutil.copyfile(model / file, folder / file)
