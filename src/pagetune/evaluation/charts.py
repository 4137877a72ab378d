"""The report's charts as SVG whose text is text and whose colours are the page's own CSS variables."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pagetune.evaluation.evaluate import BASE, FUSED, LEXICAL, SYSTEMS, TUNED, EvaluationReport
from pagetune.evaluation.metrics import MAIN_METRIC

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Matplotlib needs real colours: each stands for a CSS variable and is exchanged for it in the finished SVG.
_COLOURS = {
    name: f"#0b0b{number:02x}"
    for number, name in enumerate(("ink", "muted", "grid", "base", "tuned", "bm25", "fused", "gain", "loss"), start=1)
}
_OF_SYSTEM = {BASE: "base", TUNED: "tuned", LEXICAL: "bm25", FUSED: "fused"}
_WIDTH = 5.2
"""Inches at 72 points; the page scales the chart to its column."""

Curve = Sequence[Mapping[str, float]]


def systems_chart(report: EvaluationReport) -> str:
    """NDCG@10 of every system, with its interval."""
    with _Canvas("systems", 2.3) as canvas:
        axes = canvas.figure.subplots()
        for row, name in enumerate(SYSTEMS):
            result = report.systems[name]
            mean, (low, high) = result.metrics[MAIN_METRIC], result.interval
            axes.barh(row, mean, height=0.62, color=_colour(name))
            axes.errorbar(mean, row, xerr=[[mean - low], [high - mean]], color=_COLOURS["ink"], capsize=3, lw=1.2)
            axes.annotate(
                f"{mean:.3f}",
                (max(high, mean), row),
                (6, 0),
                textcoords="offset points",
                va="center",
                color=_COLOURS["ink"],
                fontweight="bold" if name in (TUNED, FUSED) else "normal",
            )
        axes.set_yticks(range(len(SYSTEMS)), SYSTEMS)
        axes.invert_yaxis()
        highest = max(max(result.interval[1], result.metrics[MAIN_METRIC]) for result in report.systems.values())
        axes.set_xlim(0, max(0.1, highest * 1.16))
        axes.set_xlabel(MAIN_METRIC)
        _style(axes, "x")
        axes.tick_params(axis="y", length=0)
        return canvas.svg()


def dimensions_chart(report: EvaluationReport) -> str | None:
    """NDCG@10 by Matryoshka dimension, the intervals as bands; None where there is only one dimension."""
    dimensions = sorted(report.by_dimension)
    if len(dimensions) < 2:
        return None
    with _Canvas("dimensions", 2.9) as canvas:
        axes = canvas.figure.subplots()
        places = range(len(dimensions))
        for name, marker in ((BASE, "o"), (TUNED, "o"), (FUSED, "s")):
            results = [report.by_dimension[dimension][name] for dimension in dimensions]
            means = [result.metrics[MAIN_METRIC] for result in results]
            axes.plot(places, means, marker=marker, color=_colour(name), label=name, lw=2, ms=5)
            if name != FUSED:
                bands = [result.interval for result in results]
                low, high = zip(*bands, strict=True)
                axes.fill_between(places, low, high, color=_colour(name), alpha=0.12, lw=0)
        axes.set_xticks(places, [str(dimension) for dimension in dimensions])
        axes.set_xlim(-0.25, len(dimensions) - 0.75)
        axes.set_xlabel("dimension")
        axes.set_ylabel(MAIN_METRIC)
        _style(axes, "y")
        _legend(canvas.figure, axes)
        return canvas.svg()


def kinds_chart(report: EvaluationReport) -> str | None:
    """NDCG@10 by kind of query, every system a dot; None where there is only one kind."""
    kinds = report.kinds
    if len(kinds) < 2:
        return None
    with _Canvas("kinds", 1.1 + 0.42 * len(kinds)) as canvas:
        axes = canvas.figure.subplots()
        for row, ids in enumerate(kinds.values()):
            means = {name: result.scores.of(ids).means()[MAIN_METRIC] for name, result in report.systems.items()}
            axes.plot([means[BASE], means[TUNED]], [row, row], color=_colour(TUNED), lw=2, alpha=0.45, zorder=1)
            for name, marker in ((LEXICAL, "D"), (FUSED, "s"), (BASE, "o"), (TUNED, "o")):
                label = name if row == 0 else None
                axes.scatter(means[name], row, color=_colour(name), marker=marker, s=42, label=label, zorder=2)
        axes.set_yticks(range(len(kinds)), [f"{kind} ({len(ids)})" for kind, ids in kinds.items()])
        axes.set_ylim(len(kinds) - 0.5, -0.5)
        axes.set_xlabel(MAIN_METRIC)
        axes.tick_params(axis="y", length=0)
        _style(axes, "both")
        _legend(canvas.figure, axes)
        return canvas.svg()


def training_chart(curve: Curve, kept_step: int | None = None) -> str | None:
    """Loss and validation NDCG@10 by step; None without a measurement.

    `curve` holds records with `step` and `loss` or `ndcg`, as `FitReport.history` does.
    """
    panels = [
        (label, name, points)
        for label, name, points in (
            ("loss", "base", [(point["step"], point["loss"]) for point in curve if "loss" in point]),
            (
                f"validation\n{MAIN_METRIC}",
                "tuned",
                [(point["step"], point["ndcg"]) for point in curve if "ndcg" in point],
            ),
        )
        if len(points) > 1
    ]
    if not panels:
        return None
    with _Canvas("training", 0.9 + 1.25 * len(panels)) as canvas:
        grid = canvas.figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axes, (label, name, points) in zip(grid, panels, strict=True):
            steps, values = zip(*points, strict=True)
            axes.plot(steps, values, color=_COLOURS[name], lw=2, marker="o", ms=3.5)
            kept = dict(points).get(kept_step) if kept_step is not None else None
            if kept is not None and name == "tuned":
                axes.plot([kept_step], [kept], "o", ms=10, mfc="none", mec=_COLOURS["tuned"], mew=1.6)
            axes.set_ylabel(label)
            axes.margins(y=0.15)
            _style(axes, "y")
        grid[-1].set_xlabel("step")
        return canvas.svg()


def changes_chart(report: EvaluationReport) -> str | None:
    """Tuned − base, query by query, from the greatest gain to the greatest loss; None where nothing changed."""
    change = np.sort(
        report.systems[TUNED].scores.values[MAIN_METRIC] - report.systems[BASE].scores.values[MAIN_METRIC]
    )[::-1]
    if not np.any(change):
        return None
    with _Canvas("changes", 2.6) as canvas:
        axes = canvas.figure.subplots()
        places = np.arange(len(change) + 1)
        steps = np.append(change, change[-1])
        for name, part in (("gain", np.maximum(steps, 0)), ("loss", np.minimum(steps, 0))):
            axes.fill_between(places, part, step="post", color=_COLOURS[name], alpha=0.85, lw=0)
        axes.axhline(0, color=_COLOURS["muted"], lw=0.8)
        axes.set_xlim(0, len(change))
        top = float(np.max(np.abs(change))) * 1.1
        axes.set_ylim(-top, top)
        axes.set_xlabel(f"{len(change)} queries, by change")
        axes.set_ylabel(f"change in {MAIN_METRIC}")
        _style(axes, "y")
        return canvas.svg()


class _Canvas:
    """A figure that is drawn without pyplot, in the report's own style, the same bytes every time."""

    def __init__(self, name: str, height: float) -> None:
        self.name = name
        self.height = height
        self.figure: Figure

    def __enter__(self) -> _Canvas:
        import matplotlib as mpl
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        self._style = mpl.rc_context(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": self.name,
                "font.family": "DejaVu Sans",
                "font.size": 11.5,
                "text.color": _COLOURS["ink"],
                "axes.labelcolor": _COLOURS["muted"],
                "axes.edgecolor": _COLOURS["grid"],
                "xtick.color": _COLOURS["muted"],
                "ytick.color": _COLOURS["muted"],
                "xtick.labelcolor": _COLOURS["ink"],
                "ytick.labelcolor": _COLOURS["ink"],
                "grid.color": _COLOURS["grid"],
            }
        )
        self._style.__enter__()
        self.figure = Figure(figsize=(_WIDTH, self.height), layout=ConstrainedLayoutEngine(hspace=0.12))
        return self

    def __exit__(self, *raised: Any) -> None:
        self._style.__exit__(*raised)

    def svg(self) -> str:
        """The drawing, ready to stand inside a page: no header, colours as CSS variables, ids of its own."""
        out = io.StringIO()
        self.figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
        drawing = out.getvalue()
        drawing = drawing[drawing.index("<svg") :]
        drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
        drawing = re.sub(r'\b(width|height)="[\d.]+pt" ?', "", drawing, count=2)
        drawing = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}-", drawing)
        for name, colour in _COLOURS.items():
            drawing = drawing.replace(colour, f"var(--{name})")
        return drawing


def _colour(system: str) -> str:
    return _COLOURS[_OF_SYSTEM[system]]


def _style(axes: Axes, grid: str) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis=grid, lw=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def _legend(figure: Figure, axes: Axes) -> None:
    """Above the drawing, over the whole width, in the systems' usual order."""
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    shown = [name for name in SYSTEMS if name in handles]
    figure.legend(
        [handles[name] for name in shown],
        shown,
        loc="outside upper left",
        ncols=len(shown),
        frameon=False,
        handlelength=1.2,
        handletextpad=0.5,
        columnspacing=1.2,
    )
