"""`hf-spam pretrain`: train a GPT to continue texts, so that a classifier starts from it instead of random weights.

It learns from the texts of the training split alone, never from those that a classifier will be tested on, or from any
texts that --texts names. Use the result as --weights of `hf-spam train`, with the same options of the messages.
"""

import json
from collections.abc import Sequence
from typing import Any

from datasets import disable_progress_bars

from ..data.arguments import DataArguments
from ..data.loading import prepare
from ..dataclass_options import DataclassParser
from ..errors import UserError, one_line
from ..options import THE_RUN, build
from ..pretraining.language_modeling import initialize, pretrain
from ..pretraining.rows import read_texts, to_rows
from ..starting.job import check_sources
from ..system import processes
from ..system.environment import environment
from ..system.run_folder import ARGUMENTS_FILE, METRICS_FILE, check_writable, staged
from ..training.arguments import ModelArguments, SpamTrainingArguments
from ..training.initial_model import load_tokenizer, load_weights
from .train import complete, read_levels
from .train import make_parser as make_train_parser

# Options of `hf-spam train` about labels, what trains, evaluations, checkpoints and publishing.
_WITHOUT = (
    *("report", "pooling", "pad_to", "causal", "ignore_index", "trainable", "prior", "augment"),
    *("lora_rank", "lora_alpha", "lora_dropout", "lora_target_modules"),
    *("eval_freq", "eval_iter", "eval_strategy", "metric_for_best_model", "load_best_model_at_end"),
    *("early_stopping_patience", "early_stopping_threshold", "save_strategy", "save_steps", "save_total_limit"),
    *("resume_from_checkpoint", "restore_callback_states_from_checkpoint", "keep_checkpoints"),
    *("prefix_cache", "prefix_cache_limit", "prefix_cache_dir", "used_rows"),
    *("push_to_hub", "hub_model_id", "hub_private_repo", "hub_token"),
)
_FIXED: dict[str, Any] = {"save_strategy": "no", "eval_strategy": "no", "report_to": "none"}


def make_parser() -> DataclassParser:
    """Return the parser of the options of `hf-spam train` that a language model has, and of the texts."""
    parser = make_train_parser("hf-spam pretrain", __doc__, without=_WITHOUT)
    parser.add_argument(
        "--texts",
        nargs="+",
        metavar="PATH",
        help="Texts without labels, instead of the training split's: any file that hf-spam predict --input takes.",
        group=THE_RUN,
    )
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given: the preset's, overridden by the file's, overridden by the command line's.

    Raises:
        UserError: If one of them cannot be used. No text has been read by then.
    """
    given, from_file = read_levels(make_parser(), argv)
    options = complete({"output_dir": "outputs/language-model"}, from_file, given)
    options = {name: value for name, value in options.items() if name not in _WITHOUT}
    make_arguments(options)
    return options


def make_arguments(options: dict[str, Any]) -> tuple[DataArguments, ModelArguments, SpamTrainingArguments]:
    """Return the options as they are used.

    Raises:
        UserError: If a value is none that its option accepts.
    """
    training = build(SpamTrainingArguments, {**options, **_FIXED})
    return build(DataArguments, options), build(ModelArguments, options), training


def main(options: dict[str, Any]) -> None:
    """Train on the texts, and save the language model."""
    processes.join()
    if processes.world_size() > 1:
        found = processes.world_size()
        raise UserError(f"expected one process, found {found}. Start hf-spam pretrain without a launcher.")
    disable_progress_bars()
    data, model_options, training = make_arguments(options)
    place = check_writable(options["output_dir"], options.get("overwrite_output_dir", False))
    weights = load_weights(model_options, data.cache_dir)
    tokenizer = load_tokenizer(weights, data.bpe_dir, model_options.normalize)
    if "texts" in options:
        texts, held_out = read_texts(options["texts"])
    else:
        check_sources(data)
        prepared = prepare(data)
        texts, held_out = (prepared.splits[name]["text"][:] for name in ("train", "validation"))
        print(*prepared.notes, sep="\n")
    model = initialize(model_options, weights, tokenizer, training.seed)
    rows, watched = (to_rows(each, tokenizer, model.config.context_length) for each in (texts, held_out))
    config = model.config
    print(f"texts  {len(texts):,} to learn from, {len(held_out):,} held out")
    print(
        f"model  {config.n_layers} layers × {config.emb_dim} wide, {model.num_parameters() / 1e6:.1f} M parameters, "
        f"weights: {one_line(model_options.weights)}"
    )
    with staged(place) as folder:
        training.output_dir = str(folder)
        trained = pretrain(model, tokenizer, rows, watched, training)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        record = {
            "pretraining": {**trained.record, "loss": trained.loss, "perplexity": trained.perplexity},
            "environment": environment(model.device),
        }
        for name, content in ((METRICS_FILE, record), (ARGUMENTS_FILE, options)):
            (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"held-out texts: loss {trained.loss:.3f} a token, perplexity {trained.perplexity:,.1f}")
    print(one_line(f"saved to {place}; start from it: hf-spam train --weights {place}"))
