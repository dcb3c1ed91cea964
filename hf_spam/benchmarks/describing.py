"""The benchmark's report in Markdown: tables whose ratios come first."""

from collections.abc import Iterator, Sequence
from typing import Any

from ..conversion.from_gpt2 import SIZES

_GIGA = 1e9


def describe_row(row: dict[str, Any]) -> str:
    """Return a system's figure in a clause: `ours, fp32: 57.3 messages/s`."""
    name = ", ".join(row[key] for key in ("system", "precision") if key in row)
    if "single" in row:
        return f"{name}: {row['all']:,.0f} messages/s, {row['start']:.2f} s to the first label"
    if "rate" in row and "seconds" not in row:
        return f"{name}: {row['rate']:,.1f} messages/s"
    return f"{name}: {row['milliseconds']:.1f} ms" if "milliseconds" in row else f"{name}: {row['seconds']:,.2f} s"


def describe(report: dict[str, Any]) -> str:
    """Return the report in Markdown, as far as it was measured."""
    facts = report["environment"]
    machine = f"{facts['device']}, {facts['threads']} threads; torch {facts['torch']}, "
    machine += f"transformers {facts['transformers']}, Python {facts['python']}"
    sizes = SIZES[report["model_size"]]
    lines = [f"{machine}; {report['messages']:,} messages; GPT of {sizes['n_layers']} layers × {sizes['emb_dim']}"]
    if (done := report["measured"].split(" of "))[0] != done[1]:
        lines += ["", f"So far {report['measured']} systems were measured."]
    for name, tell in (("training", _describe_training), ("inference", _describe_inference)):
        if name in report:
            lines += ["", *tell(report[name])]
    for row in report.get("one message", []):
        bare = row["milliseconds"] / row["bare"]
        lines += ["", f"{describe_row(row)}, {row['tokens']} tokens; {bare:.2f} of the bare forward pass"]
    lines += [line for row in report.get("load", []) for line in ("", describe_row(row))]
    if "start" in report:
        starts = [(row["system"], f"{row['seconds']:.2f} s", f"{row['memory_mb']:,.0f} MB") for row in report["start"]]
        lines += ["", *_table(["start", "takes", "memory"], starts)]
    if "alternatives" in report:
        lines += ["", *_describe_alternatives(report["alternatives"])]
    lines += [line for reason in report.get("left out", []) for line in ("", f"Left out: {reason}")]
    return "\n".join(lines)


def _describe_training(rows: list[dict[str, Any]]) -> Iterator[str]:
    passes = {row["precision"]: row for row in rows if "share" in row}
    peers = {row["precision"]: row["seconds"] for row in rows if row["system"].startswith("transformers")}
    table = []
    for row in rows:
        taken, precision = row["seconds"], row["precision"]
        one_pass = passes.get(precision, {}).get("seconds")
        ratios = (_times(rows[0]["seconds"], taken, 1), _times(peers.get(precision), taken, 1))
        cells = (
            f"{taken:.1f} s",
            *ratios,
            _times(taken, one_pass).rstrip("×"),
            f"{row['peak_mb']:,.0f} MB",
            row["how"],
        )
        table.append((row["system"], precision, *cells))
    head = ["five epochs and all evaluations", "", "takes", "native loop / it", "Trainer / it", "it / one pass"]
    yield from _table([*head, "peak memory", "measured"], table)
    for precision, row in passes.items():
        yield (
            f"\nmatrix product {precision}: {row['rate'] / _GIGA:,.0f} GFLOP/s, "
            f"of which the pass reaches {row['share']:.0%}"
        )
    for row in rows:
        if "parts" in row:
            yield ""
            head = [f"{row['system']}, {row['precision']}, by parts", "takes", "of the product's rate"]
            yield from _table(head, list(_describe_parts(row)))


def _describe_parts(row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for part, seconds in sorted(row["parts"].items(), key=lambda item: -item[1]):
        yield part, f"{seconds:.1f} s", f"{row['shares'][part]:.0%}" if part in row["shares"] else ""


def _describe_inference(rows: list[dict[str, Any]]) -> Iterator[str]:
    chapter = rows[0]["rate"]
    best: dict[str, float] = {}
    for row in rows:
        if row["system"].startswith("pipeline"):
            best[row["precision"]] = max(row["rate"], best.get(row["precision"], 0.0))
    table = [
        (
            *(row["system"], row["precision"], f"{row['rate']:.1f}", _times(row["rate"], chapter, 1)),
            *(_times(row["rate"], best.get(row["precision"])), f"{row['peak_mb']:,.0f} MB", row["how"]),
        )
        for row in rows
    ]
    head = ["classifying", "", "messages/s", "it / chapter's", "it / best pipeline()", "peak memory", "measured"]
    yield from _table(head, table)


def _describe_alternatives(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the speeds and what they cost, and the cold starts and sizes; the first row is what the ratios are to."""
    first = rows[0]
    speeds = [
        (
            row["system"],
            _share(row["all"], first["all"]),
            *(f"{row[name]:,.0f}{_part(row, name)}" for name in ("single", "all", "many")),
            f"{row['fit']:.2f} s" if "fit" in row else "",
            f"{row['accuracy']:.2%}" if "accuracy" in row else "",
        )
        for row in rows
    ]
    head = [f"labelling, messages/s; {first['system']} = 1", "×", "a call each", f"{first['messages']:,} at once"]
    yield from _table([*head, f"{first['asked']:,}", "fit", "accuracy"], speeds)
    yield ""
    sizes = [
        (
            row["system"],
            _times(row["start"], first["start"], 1),
            f"{row['start']:.2f} s",
            *(f"{row[name]:,.0f} MB" for name in ("start_mb", "memory_mb")),
            f"{row['disk_mb']:,.1f} MB",
        )
        for row in rows
    ]
    head = [
        f"from nothing to the first label; {first['system']} = 1",
        "×",
        "takes",
        "memory",
        "for all and many",
    ]
    yield from _table([*head, "on disk"], sizes)


def _part(row: dict[str, Any], name: str) -> str:
    """Return how many messages were timed where not all were."""
    asked = {"all": row["messages"], "many": row["asked"]}.get(name)
    return "" if asked is None or row[f"{name}_of"] == asked else f" ({row[f'{name}_of']:,} timed)"


def _share(upper: float, lower: float) -> str:
    """Return a ratio in two digits that count: `0.0012×`."""
    return f"{float(f'{upper / lower:.2g}'):g}×"


def _times(upper: float | None, lower: float | None, digits: int = 2) -> str:
    """Return a ratio; nothing where a part of it is not measured yet."""
    return "" if upper is None or lower is None else f"{upper / lower:.{digits}f}×"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from (f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
