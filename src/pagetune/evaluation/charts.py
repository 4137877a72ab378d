"""The report's charts as SVG whose text is text and whose colours are the page's own CSS variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pagetune.evaluation.canvas import VARIABLES, Canvas, plain
from pagetune.evaluation.evaluate import BASE, FUSED, LEXICAL, RERANKED, SYSTEMS, TUNED, EvaluationReport
from pagetune.evaluation.metrics import MAIN_METRIC

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OF_SYSTEM = {BASE: "base", TUNED: "tuned", LEXICAL: "bm25", FUSED: "fused", RERANKED: "reranked"}

Curve = Sequence[Mapping[str, float]]

KINDS = 16
_STEPS = 1000


def systems_chart(report: EvaluationReport) -> str:
    """NDCG@10 of every system, with its interval."""
    with Canvas("systems", 1.1 + 0.3 * len(report.systems)) as canvas:
        axes = canvas.figure.subplots()
        for row, (name, result) in enumerate(report.systems.items()):
            mean, (low, high) = result.metrics[MAIN_METRIC], result.interval
            axes.barh(row, mean, height=0.62, color=_colour(name))
            axes.errorbar(mean, row, xerr=[[mean - low], [high - mean]], color=VARIABLES["ink"], capsize=3, lw=1.2)
            axes.annotate(
                f"{mean:.3f}",
                (max(high, mean), row),
                (6, 0),
                textcoords="offset points",
                va="center",
                color=VARIABLES["ink"],
                fontweight="bold" if name in (TUNED, FUSED, RERANKED) else "normal",
            )
        axes.set_yticks(range(len(report.systems)), list(report.systems))
        axes.invert_yaxis()
        highest = max(max(result.interval[1], result.metrics[MAIN_METRIC]) for result in report.systems.values())
        axes.set_xlim(0, max(0.1, highest * 1.16))
        axes.set_xlabel(MAIN_METRIC)
        plain(axes, "x")
        axes.tick_params(axis="y", length=0)
        return canvas.svg()


def dimensions_chart(report: EvaluationReport) -> str | None:
    """NDCG@10 by Matryoshka dimension, the intervals as bands; None where there is only one dimension."""
    dimensions = sorted(report.by_dimension)
    if len(dimensions) < 2:
        return None
    with Canvas("dimensions", 2.9) as canvas:
        axes = canvas.figure.subplots()
        places = range(len(dimensions))
        for name, marker in ((BASE, "o"), (TUNED, "o"), (FUSED, "s")):
            if name not in report.systems:
                continue
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
        plain(axes, "y")
        _legend(canvas.figure, axes)
        return canvas.svg()


def kinds_chart(report: EvaluationReport) -> str | None:
    """NDCG@10 by kind of query, every system a dot; None where there is only one kind. Of many kinds the KINDS most
    frequent."""
    kinds = dict(list(report.kinds.items())[:KINDS])
    if len(kinds) < 2:
        return None
    with Canvas("kinds", 1.1 + 0.42 * len(kinds)) as canvas:
        axes = canvas.figure.subplots()
        for row, ids in enumerate(kinds.values()):
            means = {name: result.scores.of(ids).means()[MAIN_METRIC] for name, result in report.systems.items()}
            axes.plot([means[BASE], means[TUNED]], [row, row], color=_colour(TUNED), lw=2, alpha=0.45, zorder=1)
            for name, marker in ((LEXICAL, "D"), (FUSED, "s"), (RERANKED, "^"), (BASE, "o"), (TUNED, "o")):
                if name not in means:
                    continue
                label = name if row == 0 else None
                axes.scatter(means[name], row, color=_colour(name), marker=marker, s=42, label=label, zorder=2)
        axes.set_yticks(range(len(kinds)), [f"{kind} ({len(ids)})" for kind, ids in kinds.items()])
        axes.set_ylim(len(kinds) - 0.5, -0.5)
        axes.set_xlabel(MAIN_METRIC)
        axes.tick_params(axis="y", length=0)
        plain(axes, "both")
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
    with Canvas("training", 0.9 + 1.25 * len(panels)) as canvas:
        grid = canvas.figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axes, (label, name, points) in zip(grid, panels, strict=True):
            steps, values = zip(*points, strict=True)
            axes.plot(steps, values, color=VARIABLES[name], lw=2, marker="o", ms=3.5)
            kept = dict(points).get(kept_step) if kept_step is not None else None
            if kept is not None and name == "tuned":
                axes.plot([kept_step], [kept], "o", ms=10, mfc="none", mec=VARIABLES["tuned"], mew=1.6)
            axes.set_ylabel(label)
            axes.margins(y=0.15)
            plain(axes, "y")
        grid[-1].set_xlabel("step")
        return canvas.svg()


def changes_chart(report: EvaluationReport) -> str | None:
    """Tuned − base, query by query, from the greatest gain to the greatest loss; None where nothing changed."""
    change = np.sort(
        report.systems[TUNED].scores.values[MAIN_METRIC] - report.systems[BASE].scores.values[MAIN_METRIC]
    )[::-1]
    if not np.any(change):
        return None
    with Canvas("changes", 2.6) as canvas:
        axes = canvas.figure.subplots()
        # More steps than the chart has points to draw them with would only make it large.
        places = np.unique(np.linspace(0, len(change), min(len(change), _STEPS) + 1).round().astype(int))
        steps = np.append(change, change[-1])[places]
        for name, part in (("gain", np.maximum(steps, 0)), ("loss", np.minimum(steps, 0))):
            axes.fill_between(places, part, step="post", color=VARIABLES[name], alpha=0.85, lw=0)
        axes.axhline(0, color=VARIABLES["muted"], lw=0.8)
        axes.set_xlim(0, len(change))
        top = float(np.max(np.abs(change))) * 1.1
        axes.set_ylim(-top, top)
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel(f"{len(change)} queries, by change")
        axes.set_ylabel(f"change in {MAIN_METRIC}")
        plain(axes, "y")
        return canvas.svg()


def _colour(system: str) -> str:
    return VARIABLES[_OF_SYSTEM[system]]


def _legend(figure: Figure, axes: Axes) -> None:
    """Above the drawing, over the whole width, in the systems' usual order."""
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    shown = [name for name in (*SYSTEMS, RERANKED) if name in handles]
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
