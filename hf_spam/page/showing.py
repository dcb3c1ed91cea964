"""Results as HTML. Every text from elsewhere goes through `shown`, which leaves nothing that a browser acts on."""

import re
from collections.abc import Iterable, Sequence
from html import escape

from ..checkpoint.operating_point import OperatingPoint
from ..errors import UNPRINTABLE, escaped, shorten
from ..evaluation.metrics import format_metric
from ..inference.explaining import Weight
from .record import Record
from .scoring import Reasons, Verdict
from .threshold import Counts

_TEMPLATE = re.compile(r"[${}`\\]")  # what Gradio's own templates act on
_MOST_LABELS = 10
_MOST_WORDS = 6
_UNSURE = 0.5
_SIGNS = {"allow": "✓", "unsure": "?", "block": "✕"}


def shown(text: object) -> str:
    """Return text as HTML that shows it: markup is text, and what is no character of a text is an escape."""
    pieces = re.split(r"([\n\t])", str(text))
    plain = "".join(piece if piece in ("\n", "\t") else UNPRINTABLE.sub(escaped, piece) for piece in pieces)
    return _TEMPLATE.sub(lambda found: f"&#{ord(found[0])};", escape(plain))


def show_error(error: object) -> str:
    """Return why there is no result."""
    return f'<p class="hs-error" role="alert">{shown(error)}</p>'


def show_note(text: object) -> str:
    """Return a remark."""
    return f'<p class="hs-note">{shown(text)}</p>'


def show_verdict(
    verdict: Verdict, point: OperatingPoint | None, several: bool, is_number: bool, max_length: int
) -> str:
    """Return label, probabilities and decision.

    Args:
        verdict: What the model says.
        point: Where it decides.
        several: Whether a message may have several labels.
        is_number: Whether the model returns a number.
        max_length: How many tokens it reads.
    """
    label, score = verdict.scores[0]
    cut = show_note(f"The message is longer than the model reads: only its first {max_length:,} tokens count.")
    if is_number:
        return f'<p class="hs-label">{shown(label)}: <b>{score:.4f}</b></p>{cut * verdict.cut}'
    if several:
        label = ", ".join(name for name, one in verdict.scores if one >= _UNSURE) or "none of the labels"
    decision = ""
    if verdict.decision is not None:
        sign = f'<span aria-hidden="true">{_SIGNS[verdict.decision]}</span>'
        decision = f'<span class="hs-decision hs-{verdict.decision}">{sign} {verdict.decision}</span>'
    probability = "" if several else f'<span class="hs-score">{_percent(score)}</span>'
    bars = "".join(_bar(name, one) for name, one in verdict.scores[:_MOST_LABELS])
    more = len(verdict.scores) - _MOST_LABELS
    rest = show_note(f"and {more:,} less likely labels") if more > 0 else ""
    promise = show_note(f"{_capital(point.describe())}.") if point is not None else ""
    return (
        f'<p class="hs-label" role="status"><strong>{shown(label)}</strong> {probability} {decision}</p>'
        f'<table class="hs-bars"><caption class="hs-hidden">The probability of each label</caption>{bars}</table>'
        f"{rest}{cut * verdict.cut}{promise}"
    )


def show_reasons(message: str, reasons: Reasons) -> str:
    """Return the message with its words marked, the heaviest in a table, and how complete the weights are."""
    weights = reasons.explanation.weights
    label = shown(reasons.positive)
    heaviest = sorted(weights, key=lambda one: -abs(one.weight))[:_MOST_WORDS]
    rows = "".join(
        f"<tr><th scope='row'>{shown(shorten(one.word, 60))}</th><td>{one.weight:+.2f}</td>"
        f"<td>{'for' if one.weight > 0 else 'against'} {label}</td></tr>"
        for one in heaviest
    )
    share = f" ({reasons.total / reasons.difference:.0%})" if abs(reasons.difference) > 0.01 else ""
    return (
        f'<p class="hs-key">Words that speak <span class="hs-for hs-3">for {label}</span> or '
        f'<span class="hs-against hs-3">against it</span></p>'
        f'<p class="hs-message">{_marked(message, weights)}</p>'
        f'<table class="hs-table"><caption>The words that weigh most</caption><thead><tr><th scope="col">word</th>'
        f'<th scope="col">weight</th><th scope="col">speaks</th></tr></thead><tbody>{rows}</tbody></table>'
        f'<p class="hs-note">A weight is how much the log-odds of {label} fall when the word is left out, measured by '
        f"scoring the message without it. Completeness: the weights sum to {reasons.total:+.2f}; all words together "
        f"change the log-odds by {reasons.difference:+.2f}{share}. Words may replace or need each other, so the two "
        f"need not agree.</p>"
    )


def _marked(message: str, weights: Sequence[Weight]) -> str:
    largest = max((abs(one.weight) for one in weights), default=0) or 1.0
    parts: list[str] = []
    at = 0
    for one in weights:
        parts.append(shown(message[at : one.start]))
        strength = round(3 * abs(one.weight) / largest)
        side = "for" if one.weight > 0 else "against"
        word = shown(one.word)
        parts.append(
            f'<mark class="hs-{side} hs-{strength}" title="{one.weight:+.2f}">{word}</mark>' if strength else word
        )
        at = one.end
    return "".join([*parts, shown(message[at:])])


def show_counts(counts: Counts, threshold: float, is_spam: bool) -> str:
    """Return what a threshold does, as two bars."""
    label = shown(counts.label)
    others = "ham" if is_spam else f"other than {label}"
    missed = counts.of - counts.caught
    return (
        f'<table class="hs-bars hs-wide"><caption>On the validation split, blocked from a score of {threshold:.3f} on'
        f"</caption>{_count(f'caught {label}', counts.caught, counts.of, 'good')}"
        f"{_count(f'blocked {others}', counts.blocked, counts.others, 'bad')}</table>"
        f'<p class="hs-note">{missed:,} of {counts.of:,} {label} would pass.</p>'
    )


def _count(name: str, found: int, of: int, kind: str) -> str:
    share = found / of if of else 0.0
    return (
        f'<tr><th scope="row">{name}</th><td class="hs-track"><span class="hs-bar hs-{kind}" '
        f'style="width:{100 * share:.1f}%"></span></td><td>{found:,} of {of:,} ({share:.2%})</td></tr>'
    )


def show_record(record: Record, labels: Sequence[str]) -> str:
    """Return the figures, the confusion matrix and the plots of a run."""
    parts = []
    if record.figures:
        names = list(dict.fromkeys(name for split in record.figures.values() for name in split))
        head = "".join(f'<th scope="col">{shown(name)}</th>' for name in ("split", *names))
        rows = "".join(
            f'<tr><th scope="row">{shown(split)}</th>{_cells(_figure(name, row.get(name)) for name in names)}</tr>'
            for split, row in record.figures.items()
        )
        parts.append(_table("The run's figures", f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"))
    if record.confusion:
        head = "".join(f'<th scope="col">predicted {shown(name)}</th>' for name in labels)
        rows = "".join(
            f'<tr><th scope="row">true {shown(name)}</th>{_cells(f"{count:,}" for count in row)}</tr>'
            for name, row in zip(labels, record.confusion, strict=True)
        )
        corner = '<td aria-hidden="true"></td>'
        parts.append(
            _table(
                "Confusion matrix of the test split", f"<thead><tr>{corner}{head}</tr></thead><tbody>{rows}</tbody>"
            )
        )
    plots = "".join(
        f'<figure><img src="{uri}" alt="{shown(caption)}"><figcaption>{shown(caption)}</figcaption></figure>'
        for caption, uri in record.plots.items()
    )
    parts.append(f'<div class="hs-plots">{plots}</div>' if plots else "")
    return "".join(parts) or show_note("The model's folder has no figures and no plots.")


def _table(caption: str, inner: str) -> str:
    return (
        f'<div class="hs-scroll" tabindex="0" role="region" aria-label="{caption}"><table class="hs-table">'
        f"<caption>{caption}</caption>{inner}</table></div>"
    )


def _cells(values: Iterable[str]) -> str:
    return "".join(f"<td>{value}</td>" for value in values)


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if name == "messages" else shown(format_metric(name, value))


def _bar(name: str, score: float) -> str:
    return (
        f'<tr><th scope="row">{shown(shorten(name, 60))}</th><td class="hs-track"><span class="hs-bar" '
        f'style="width:{100 * score:.1f}%"></span></td><td>{_percent(score)}</td></tr>'
    )


def _percent(score: float) -> str:
    return f"{score:.1%}" if 0.0005 <= score < 0.9995 else f"{score:.2%}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
