"""An audit as the lines of a console, as Markdown, and as JSON."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import one_line, shorten
from .auditing import Audit
from .cleaning import Cleaned
from .findings import Finding

_EXAMPLES = 5  # groups on the console
_MOST_IN_LINE = 8  # rows of a group in a line, labels or languages in a line
_WIDTH = 60  # characters of a text on the console
_WIDTH_IN_FILE = 200
_MOST_IN_FILE = 1000  # groups of a finding in Markdown


def describe(audit: Audit) -> list[str]:
    """Return the lines of a console, safe to print: every finding with its number, up to five examples, a remedy."""
    lines = [f"audit     {len(audit.texts):,} messages{_join(audit.counts, ': ', ' + ')}"]
    lines += [f"source    {source}" for source in audit.sources]
    lines += [f"length    {unit}: {_listed(quantiles)}" for unit, quantiles in audit.lengths.items()]
    if audit.languages:
        lines.append(f"language  {_shares(audit)}")
    for finding in audit.findings:
        lines += ["", _headline(finding)]
        lines += [f"  {_example(audit, finding, group, _WIDTH)}" for group in finding.groups[:_EXAMPLES]]
        if len(finding.groups) > _EXAMPLES:
            lines.append(f"  and {len(finding.groups) - _EXAMPLES:,} more")
        lines.append(f"  {finding.remedy}")
    if not audit.findings:
        lines += ["", "nothing was found"]
    lines += [f"not looked for: {reason}" for reason in audit.left_out]
    return [shorten(one_line(line)) for line in lines]


def to_markdown(audit: Audit, cleaned: Cleaned | None = None) -> str:
    """Return the whole report for people. Texts stand in blocks whose lines all begin with a number of ours."""
    parts = [f"# Audit of {len(audit.texts):,} messages", "Rows count from 1, without the header."]
    if audit.counts:
        parts.append(_block(f"{number:>10,}  {one_line(name)}" for name, number in audit.counts.items()))
    if audit.sources:
        parts.append(_block(one_line(source) for source in audit.sources))
    parts.append("\n".join(f"- {unit}: {_listed(quantiles)}" for unit, quantiles in audit.lengths.items()))
    if audit.languages:
        parts.append(f"Languages: {_shares(audit)}")
    for finding in audit.findings:
        parts += [f"## {_headline(finding)}", finding.remedy]
        shown = finding.groups[:_MOST_IN_FILE]
        parts.append(_block(one_line(_example(audit, finding, group, _WIDTH_IN_FILE)) for group in shown))
        if len(finding.groups) > _MOST_IN_FILE:
            parts.append(f"And {len(finding.groups) - _MOST_IN_FILE:,} more; a report named .json has all.")
    if audit.left_out:
        parts += ["## Not looked for", _block(f"- {one_line(reason)}" for reason in audit.left_out)]
    if cleaned is not None:
        rows = {"duplicates": cleaned.duplicates, "conflicts": cleaned.conflicts}
        parts += ["## The cleaned file", f"{len(cleaned.frame):,} rows remain."]
        parts += [f"Left out as {name}: {', '.join(map(str, numbers))}" for name, numbers in rows.items() if numbers]
    return "\n\n".join(parts) + "\n"


def to_json(audit: Audit, cleaned: Cleaned | None = None) -> str:
    """Return the whole report for programs: every row by its number."""
    report: dict[str, Any] = {
        "messages": len(audit.texts),
        "sources": audit.sources,
        "labels": audit.counts,
        "lengths": audit.lengths,
        "languages": audit.languages,
        "findings": [
            {
                "name": finding.name,
                "rows": finding.count,
                "groups": finding.groups,
                "seen": {str(row): text for row, text in finding.seen.items()},
                "remedy": finding.remedy,
            }
            for finding in audit.findings
        ],
        "left_out": audit.left_out,
    }
    if cleaned is not None:
        report["cleaned"] = {
            "rows": len(cleaned.frame),
            "duplicates": cleaned.duplicates,
            "conflicts": cleaned.conflicts,
        }
    return json.dumps(report, indent=1) + "\n"


def _headline(finding: Finding) -> str:
    groups = f" in {len(finding.groups):,} group{'s' * (len(finding.groups) != 1)}" if finding.is_grouped else ""
    return f"{finding.name}: {finding.count:,} row{'s' * (finding.count != 1)}{groups}"


def _example(audit: Audit, finding: Finding, group: list[int], width: int) -> str:
    """Return the rows of a group, what is seen there, and the beginning of the first one's text."""
    text = f'"{shorten(one_line(audit.texts[group[0] - 1]), width)}"'
    if len(group) == 1:
        seen = finding.seen.get(group[0])
        return f"row {group[0]}: {f'{seen}: ' if seen else ''}{text}"
    labels = [audit.labels[row - 1] for row in group]
    differ = len(set(labels)) > 1
    named = [f"{row} {label}" if differ else str(row) for row, label in zip(group, labels, strict=True)]
    more = f" and {len(group) - _MOST_IN_LINE:,} more" if len(group) > _MOST_IN_LINE else ""
    return f"rows {', '.join(named[:_MOST_IN_LINE])}{more}: {text}"


def _listed(quantiles: Mapping[str, int]) -> str:
    return " · ".join(f"{name} {number:,}" for name, number in quantiles.items())


def _join(counts: Mapping[str, int], before: str, between: str) -> str:
    shown = between.join(f"{number:,} {name}" for name, number in list(counts.items())[:_MOST_IN_LINE])
    more = f"{between}{len(counts) - _MOST_IN_LINE:,} more labels" if len(counts) > _MOST_IN_LINE else ""
    return f"{before}{shown}{more}" if counts else ""


def _shares(audit: Audit) -> str:
    most = list(audit.languages.items())[:_MOST_IN_LINE]
    more = " · others" if len(audit.languages) > _MOST_IN_LINE else ""
    return " · ".join(f"{code} {number / len(audit.texts):.1%}" for code, number in most) + more


def _block(lines: Iterator[str]) -> str:
    return "\n".join(["```text", *lines, "```"])
