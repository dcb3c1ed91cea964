"""`hf-spam predict`: classify texts given as arguments, on standard input (one per line), or in a file.

It prints label, score and text, separated by tabs, in the order of the texts; what is no plain character stands as an
escape. With --json it prints them as JSON. Lines of standard input are answered as they arrive. With --input and
--output it writes a CSV, TSV, JSONL or Parquet, as the name of the output says, with the columns of the input, the
label and the score, for files of any size. If it is interrupted, run the same command again to continue. --engine ray
does it on a cluster, from Parquet files to a folder of Parquet files.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, TextIO, get_args

from ..data.labels import Task, task_of_config
from ..engines.loading import Precision, find_model
from ..errors import UserError, one_line
from ..inference.answers import (
    Answer,
    Wish,
    answer_fields,
    answers,
    describe_label,
    describe_scores,
    flat_fields,
    flatten,
    rounded,
)
from ..inference.classifier import SpamClassifier
from ..inference.explaining import describe_weights, explain
from ..inference.repeats import Repeats
from ..inference.texts import CHUNK, chunked
from ..options import OptionParser
from ..system import processes
from ..system.place import require_shared
from ..system.reading import is_folder
from ..tables.opening import LARGEST_ROW, check_stream
from ..values.ranges import COUNT, FILE, SHARE, TOKENS

_PIECE = 2**18  # bytes that are read from standard input at once, at most


def make_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="hf-spam predict", description=__doc__, arguments="MODEL [TEXT ...]")
    parser.add_argument(
        "model", metavar="MODEL", help="A folder that `hf-spam train` saved, or a repository on the Hub."
    )
    parser.add_argument("texts", metavar="TEXT", nargs="*", help="Texts (default: the lines of standard input).")
    parser.add_argument(
        "--input",
        nargs="+",
        metavar="PATH",
        help="Texts, as `hf-spam train --data_file` takes them or one per line; needs --output.",
    )
    parser.add_argument(
        "--output", type=Path, metavar=FILE, help="File to write: .csv, .tsv, .jsonl or .parquet; needs --input."
    )
    parser.add_argument(
        "--top_k", type=int, range=COUNT, help="Give the scores of so many labels, too, the highest first."
    )
    parser.add_argument("--all_scores", action="store_true", help="Give the scores of all labels, too.")
    parser.add_argument(
        "--threshold",
        type=float,
        range=SHARE,
        help="Two labels: the positive one from this score on. Others: every label from it on "
        "(default: the label with the highest score).",
    )
    parser.add_argument(
        "--positive_label", help="The label that --threshold is about (default: spam, else the second)."
    )
    parser.add_argument(
        "--decision",
        action="store_true",
        help="Say whether the message is allowed, unsure or blocked; the model must come from hf-spam calibrate.",
    )
    parser.add_argument("--json", action="store_true", help="Print an object of text, label and score on each line.")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="Say below each text how much the log-odds of the positive label (of more than two, of the likeliest) "
        "fall without each word; * marks the most important.",
    )
    parser.add_argument(
        "--explain_method",
        choices=["occlusion", "integrated_gradients"],
        default="occlusion",
        help="Leave out each word, or follow gradients, whose weights sum to the log-odds; that needs the extra "
        "[explain].",
    )
    parser.add_argument(
        "--text_column", help="Column of the texts in --input, or several: a,b (default: recognised by its name)."
    )
    parser.add_argument("--encoding", help="Encoding of text in --input (default: recognised).")
    parser.add_argument(
        "--engine",
        choices=["own", "ray"],
        default="own",
        help="ray: on a cluster, that of $RAY_ADDRESS or one on this machine, from Parquet to a folder of Parquet; "
        "needs the extra [ray].",
    )
    parser.add_argument(
        "--num_processes",
        type=int,
        range=COUNT,
        help="With --engine ray: how many hold the model (default: one for each GPU, or each CPU but one).",
    )
    add_scoring_options(parser)
    return parser


def add_scoring_options(parser: OptionParser) -> None:
    """Add the options of how texts are scored."""
    parser.add_argument(
        "--precision", choices=get_args(Precision), default="fp32", help="fp32, or bf16, which is faster."
    )
    parser.add_argument(
        "--token_budget", type=int, range=TOKENS, help="Tokens per batch (default: depends on the device)."
    )


def parse(argv: Sequence[str]) -> Namespace:
    """Return all options, and check them."""
    args = make_parser().parse_intermixed_args(list(argv))  # options may stand between MODEL and TEXT
    if (args.input is None) != (args.output is None) or (args.input and args.texts):
        raise UserError("expected --input and --output together and no TEXT, or neither.")
    if args.explain and args.input:
        raise UserError("--explain: expected TEXT or standard input, found --input. Leave it out.")
    if args.explain_method != "occlusion" and not args.explain:
        raise UserError("--explain_method: expected --explain beside it. Add it.")
    if args.engine == "ray":
        _check_ray(args)
    elif args.num_processes is not None:
        raise UserError("--num_processes: expected --engine ray beside it, found none. Use torchrun, or add it.")
    elif args.output is not None:
        from ..inference.outputs import format_of

        format_of(args.output)
    return args


def _check_ray(args: Namespace) -> None:
    if args.input is None:
        raise UserError("--engine ray: expected --input and --output, found none. Name Parquet files and a folder.")
    if args.encoding is not None:
        raise UserError("--encoding: expected text, found --engine ray, which reads Parquet. Leave it out.")
    if processes.world_size() > 1:
        raise UserError(
            f"--engine ray: expected one process, found {processes.world_size()}: Ray starts its own. Leave out the "
            f"launcher, and give --num_processes."
        )
    from ..inference.ray_prediction import require_ray

    require_ray()


def main(args: Namespace) -> None:
    """Classify the texts and print or write the results."""
    processes.join()
    if args.output is not None:
        require_shared(args.output, "output")
    files: list[str] = []
    if args.engine == "ray":
        from ..inference.ray_prediction import list_parquet

        files = list_parquet(args.input)
    with processes.main_first():
        folder = find_model(args.model)
        classifier = SpamClassifier.from_pretrained(folder, args.token_budget, args.precision)
    task = task_of_config(classifier.config, args.positive_label)
    wish = Wish(args.top_k, args.all_scores, args.threshold, args.decision).check(task, classifier.operating_point)
    if args.input is None:
        print_answers(args, classifier, task, wish)
    elif args.engine == "ray":
        predict_with_ray(args, files, task, wish)
    else:
        write_answers(args, classifier, task, wish, folder)


def print_answers(args: Namespace, classifier: SpamClassifier, task: Task, wish: Wish) -> None:
    """Print what is said of the texts given, or of the lines of standard input."""
    why_of = explain
    if args.explain_method == "integrated_gradients":
        from ..inference.gradients import integrate

        why_of = integrate
    for texts in chunked(args.texts, CHUNK) if args.texts else arriving(sys.stdin):
        found = answers(classifier.score(texts), task, wish, classifier.operating_point)
        for text, answer in zip(texts, found, strict=True):
            why = why_of(classifier, text, task) if args.explain else None
            if args.json and why is not None:
                answer = {**answer, "explanation": asdict(why)}
            print(to_json(text, answer) if args.json else to_line(text, answer), flush=True)
            if why is not None and not args.json:
                print(describe_weights(why), flush=True)


def write_answers(args: Namespace, classifier: SpamClassifier, task: Task, wish: Wish, folder: Path) -> None:
    """Write what is said of the texts of files."""
    from ..inference.batch_prediction import predict_file
    from ..inference.outputs import format_of
    from ..inference.parts import fingerprint_model

    by_columns = format_of(args.output) != "jsonl"
    # Equal texts of a part are scored once, those of other parts again: rounding differs by the texts of a batch, and
    # a run that was interrupted must end with the same file as one that was not.
    classifier.repeats = Repeats(0)

    def classify(chunks: Iterable[list[str]]) -> Iterator[list[Answer]]:
        for scores in classifier.stream_scores(chunks):
            found = map(rounded, answers(scores, task, wish, classifier.operating_point))
            yield [flatten(answer, wish) for answer in found] if by_columns else list(found)

    count = predict_file(
        classify,
        args.input,
        args.output,
        model=f"{fingerprint_model(folder)} in {args.precision}",
        text_column=args.text_column,
        encoding=args.encoding,
        wish=wish.to_dict() | ({"positive_label": args.positive_label} if args.positive_label else {}),
        fields=flat_fields(task, wish) if by_columns else answer_fields(task, wish),
        note=_note,
    )
    print(f"{count:,} texts classified: {one_line(args.output)}")


def predict_with_ray(args: Namespace, files: Sequence[str], task: Task, wish: Wish) -> None:
    """Classify the rows of Parquet files on a cluster."""
    from ..inference.ray_prediction import Request, name_fields, predict_on_ray, read_columns

    table = read_columns(files, args.text_column)
    names = name_fields(table, task, wish)
    _note(f"{table.name}: {'; '.join(table.notes)}")
    if changed := {field: name for field, name in names.items() if field != name}:
        _note(f"the input has columns {', '.join(changed)}; predictions are in {', '.join(changed.values())}")
    model = str(Path(args.model).absolute()) if is_folder(args.model) else args.model
    request = Request(model, args.precision, args.token_budget, wish, args.positive_label, table.text_columns, names)
    count = predict_on_ray(request, files, args.output, task, args.num_processes)
    print(f"{count:,} texts classified: {one_line(args.output)}")


def _note(line: str) -> None:
    print(one_line(f"note   {line}"), file=sys.stderr)


def to_line(text: str, answer: Answer) -> str:
    """Return label, score, decision and scores if asked for, and text, separated by tabs, in a line safe to print."""
    label = [one_line(describe_label(answer["label"]))] if "label" in answer else []
    decision = [answer["decision"]] if "decision" in answer else []
    scores = [one_line(describe_scores(answer["scores"]))] if "scores" in answer else []
    words = text.replace("\t", " ").replace("\n", " ").replace("\r", " ")
    return "\t".join([*label, f"{answer['score']:.4f}", *decision, *scores, one_line(words)])


def to_json(text: str, answer: Answer) -> str:
    """Return text, label and score as a JSON object in ASCII, which every terminal and pipe passes on."""
    return json.dumps({"text": text, **rounded(answer)})


def arriving(stream: TextIO | None) -> Iterator[list[str]]:
    """Yield the lines of standard input as they arrive, up to `CHUNK` at once. Bytes that are not UTF-8 become U+FFFD.

    Raises:
        UserError: If it is closed, cannot be read or holds no text, or a line has no end.
    """
    if stream is None:
        raise UserError("expected texts, found standard input closed. Give a TEXT, or --input and --output.")
    for lines in _whole_lines(stream.buffer):
        yield from chunked((line.decode("utf-8", errors="replace").rstrip("\r\n") for line in lines), CHUNK)


def _whole_lines(stream: BinaryIO) -> Iterator[list[bytes]]:
    begun: list[bytes] = []  # pieces of the line whose end has not arrived
    size = 0
    try:
        for piece in check_stream(iter(lambda: stream.read1(_PIECE), b""), "standard input"):  # type: ignore[attr-defined]
            size += len(piece)
            head, end, rest = piece.rpartition(b"\n")
            if end:
                yield (b"".join(begun) + head).split(b"\n")
                begun, size = [], len(rest)
            begun.append(rest)
            if size > LARGEST_ROW:
                raise UserError(
                    f"standard input: expected lines of at most {LARGEST_ROW:,} bytes, found a longer one."
                )
    except OSError as error:
        raise UserError(f"standard input: cannot be read: {error.strerror}.") from None
    if any(begun):
        yield [b"".join(begun)]
