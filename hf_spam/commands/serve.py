"""`hf-spam serve`: answer other programs over HTTP with the labels of their texts, and people in a browser.

It speaks as the Inference API does (`huggingface_hub.InferenceClient` is a client), as Text Embeddings Inference
(/predict) and as vLLM (/classify). /docs lists everything. In a browser it shows a page. Only this machine can ask,
unless --host says otherwise. SIGTERM or Ctrl-C stops it when what it has taken is answered.
"""

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoint.opening import kind_of
from ..engines.loading import find_model
from ..errors import UserError, one_line
from ..inference.classifier import SpamClassifier
from ..options import OptionParser
from ..serving.running import is_loopback, listen, require_extra, serve_alone, serve_together, url_of
from ..serving.settings import LATENCY, PORT, RANGES, WORKERS, Limits, Settings
from ..system.reading import is_folder
from ..values.ranges import FOLDER
from .predict import add_scoring_options

if TYPE_CHECKING:
    from ..serving.guarding import Page
    from ..serving.scoring import Scorer

KEY_VARIABLE = "HF_SPAM_API_KEY"
_HELP = {
    "max_body": "Bytes of a request's body, at most.",
    "max_texts": "Texts in a request, at most.",
    "max_chars": "Characters of a text, at most.",
    "max_queue": "Texts that wait to be scored, at most; more are refused with 503.",
    "read_timeout": "Seconds in which a request's head must be there, and again its body.",
    "max_upload": "Bytes of a file that is given to the page, and characters in it, at most.",
    "max_rows": "Rows of such a file, at most.",
}


def make_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="hf-spam serve", description=__doc__, arguments="MODEL")
    parser.add_argument(
        "model", metavar="MODEL", help="A folder that `hf-spam train` or `export` saved, or a repository on the Hub."
    )
    parser.add_argument("--host", default="127.0.0.1", help="The address to listen on.")
    parser.add_argument("--port", type=int, default=8000, range=PORT, help="The port; 0 for any that is free.")
    parser.add_argument("--name", help="What clients call the model (default: the folder's or the repository's name).")
    parser.add_argument(
        "--api_key",
        help=f"What clients must send as 'Authorization: Bearer KEY' (default: ${KEY_VARIABLE}, which other users of "
        "the machine cannot read, else nothing).",
    )
    parser.add_argument(
        "--workers", type=int, default=1, range=WORKERS, help="Processes, which share the weights in memory."
    )
    parser.add_argument(
        "--max_latency_ms",
        type=float,
        default=0.0,
        range=LATENCY,
        help="Milliseconds that a text may wait for others to be scored with.",
    )
    for field in fields(Limits):
        parser.add_argument(
            f"--{field.name}",
            type=type(field.default),
            default=field.default,
            range=RANGES[field.name],
            help=_HELP[field.name],
        )
    parser.add_argument("--no_page", action="store_true", help="Answer programs alone, without a page for browsers.")
    parser.add_argument(
        "--export_space",
        type=Path,
        metavar=FOLDER,
        help="Write a Space for the Hub to this folder (page, API, model, requirements) instead of serving.",
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace the Space that is there.")
    parser.add_argument("--access_log", action="store_true", help="Log each request's path and status, not its texts.")
    add_scoring_options(parser)
    return parser


def parse(argv: Sequence[str]) -> Namespace:
    """Return all options, and check them."""
    args = make_parser().parse_args(list(argv))
    if args.overwrite and args.export_space is None:
        raise UserError("--overwrite: expected --export_space beside it. Add it.")
    return args


def main(args: Namespace) -> None:
    """Serve until a signal comes.

    Raises:
        UserError: If the extra is missing, the model cannot be read, or nothing can listen there.
    """
    wants_page = not args.no_page and args.workers == 1
    require_extra(wants_page)
    limits = Limits(**{field.name: getattr(args, field.name) for field in fields(Limits)})
    key = args.api_key if args.api_key is not None else os.environ.get(KEY_VARIABLE) or None
    folder = find_model(args.model)
    name = args.name or (folder.resolve().name if is_folder(args.model) else args.model)
    kind = kind_of(folder)
    if args.export_space is not None:
        from ..page.space import export_space

        export_space(args.model, folder, kind, name, args.export_space, args.overwrite)
        print(one_line(f"written to {args.export_space}; try: python {args.export_space / 'app.py'}"))
        return
    settings = Settings(name, kind, limits, key, args.max_latency_ms, many=args.workers > 1)

    def load() -> SpamClassifier:
        return SpamClassifier.from_pretrained(folder, args.token_budget, args.precision)

    listening = listen(args.host, args.port)
    if key is None and not is_loopback(listening):
        print("hf-spam: warning: other machines can ask, and no key is asked for. Add --api_key.", file=sys.stderr)

    def ready() -> None:
        print(f"serving {one_line(name)} at {url_of(listening)}; Ctrl-C stops it", flush=True)

    if args.workers > 1:
        if not args.no_page:
            print("hf-spam: no page for browsers: it needs one process. Leave out --workers.", file=sys.stderr)
        serve_together(load, kind != "onnx", settings, listening, args.workers, ready, args.access_log)
        print("stopped", flush=True)
        return
    classifier = load()

    def make_page(scorer: "Scorer") -> "Page":
        from ..page.opening import open_page

        return open_page(classifier, scorer, settings, args.model, folder)

    page = make_page if wants_page else None
    answered = serve_alone(classifier, settings, listening, args.access_log, ready, make_page=page)
    print(f"stopped: {answered:,} requests answered", flush=True)
