"""The plot of accuracy against speed."""

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import Bbox

_PLACES = [(8, 6), (8, -14), (-8, 6), (-8, -14), (8, 20), (8, -28), (-8, 20), (-8, -28), (8, 34), (8, -42)]  # points
_BAND = 0.3  # of the height, below: systems whose labels mean nothing have a speed and no accuracy
_MARK = 5  # pixels from a mark's middle to its edge
_LINES = 6  # of names in the band, below each other


def plot_alternatives(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return what `draw_alternatives` draws as a PNG."""
    buffer = io.BytesIO()
    draw_alternatives(rows).savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def draw_alternatives(rows: Sequence[dict[str, Any]]) -> Figure:
    """Draw each system's accuracy over its messages per second, and those without accuracy in a band below.

    Args:
        rows: Of the report's table `alternatives`.
    """
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_xlabel(f"messages per second, {rows[0]['messages']:,} at once (logarithmic)")
    axes.set_ylabel("accuracy on the chapter's test split")
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    speeds = [row["all"] for row in rows]
    axes.set_xlim(min(speeds) / 2, max(speeds) * 16)
    accuracies = [row["accuracy"] for row in rows if "accuracy" in row] or [1.0]
    span = max(max(accuracies) - min(accuracies), 0.02)
    bottom = min(accuracies) - 0.3 * span
    height = (max(accuracies) + 0.3 * span - bottom) / (1 - _BAND)
    axes.set_ylim(bottom - _BAND * height, bottom + (1 - _BAND) * height)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.1%}" if bottom <= value <= 1 else ""))
    axes.axhspan(bottom - _BAND * height, bottom, color="0.94", zorder=1)
    axes.text(0.01, _BAND - 0.01, "random weights: speed alone", transform=axes.transAxes, va="top", color="0.4")
    FigureCanvasAgg(figure).draw()  # places the axes, without which names have no extent
    figure.set_layout_engine("none")
    taken = [_around(axes, row["all"], row["accuracy"]) for row in rows if "accuracy" in row]
    without = sorted((row for row in rows if "accuracy" not in row), key=lambda row: float(row["all"]))
    for number, row in enumerate(without):
        y = bottom - _BAND * height * (0.25 + 0.7 * (number % _LINES) / _LINES)
        axes.plot(row["all"], y, marker="|", markersize=10, color=_colour(row))
        _name(axes, row, y, [(8, -4), (-8, -4)], taken)
    for row in rows:
        if "accuracy" in row:
            axes.plot(row["all"], row["accuracy"], marker="o", color=_colour(row))
            _name(axes, row, row["accuracy"], _PLACES, taken)
    return figure


def _around(axes: Any, x: float, y: float) -> Bbox:
    """Return the place of a mark, in pixels."""
    (at,) = axes.transData.transform([(x, y)])
    return Bbox([at - _MARK, at + _MARK])


def _colour(row: dict[str, Any]) -> str:
    return "C3" if row["system"].startswith("ours") else "C0"


def _name(axes: Any, row: dict[str, Any], y: float, places: Sequence[tuple[int, int]], taken: list[Any]) -> None:
    """Write a system's name beside its mark, at the first place where no other name stands."""
    for x_offset, y_offset in places:
        side = "left" if x_offset > 0 else "right"
        name: Annotation = axes.annotate(
            *(row["system"], (row["all"], y)),
            **{"xytext": (x_offset, y_offset), "textcoords": "offset points", "ha": side, "color": _colour(row)},
            fontsize=9,
        )
        box = name.get_window_extent(axes.figure.canvas.get_renderer())
        inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
        if inside and not any(box.overlaps(other) for other in taken):
            break
        if (x_offset, y_offset) != places[-1]:
            name.remove()
    taken.append(box)
