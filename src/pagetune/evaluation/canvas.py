"""The canvas of every chart: drawn without pyplot, in the reports' own style, the same bytes every time."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1b1f27",
    "muted": "#5b6472",
    "grid": "#d9dde3",
    "base": "#8b95a5",
    "tuned": "#2f5fd0",
    "bm25": "#c17f1c",
    "fused": "#12866f",
    "reranked": "#8a4fc4",
    "gain": "#2a9461",
    "loss": "#cf4a3f",
}
"""The colours of templates/house.css by day: for charts that are files of their own."""

VARIABLES = {name: f"#0b0b{number:02x}" for number, name in enumerate(LIGHT)}
"""Matplotlib needs real colours: each of these stands for a CSS variable and is exchanged for it in the SVG."""

WIDTH = 5.2
"""Inches at 72 points; the page scales the chart to its column."""


class Canvas:
    """A figure to draw on, as a context manager. `height` and `width` are in inches.

    `colours`: what is drawn in; VARIABLES for a chart inside a page, LIGHT for a file.
    """

    def __init__(self, name: str, height: float, width: float = WIDTH, colours: Mapping[str, str] = VARIABLES) -> None:
        self.name = name
        self.size = width, height
        self.colours = colours
        self.figure: Figure

    def __enter__(self) -> Canvas:
        import matplotlib as mpl
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        self._style = mpl.rc_context(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": self.name,
                "font.family": "DejaVu Sans",
                "font.size": 11.5,
                # A kind of query or a model may be called "cost $5 to $6": that is no formula.
                "text.parse_math": False,
                "text.color": self.colours["ink"],
                "axes.labelcolor": self.colours["muted"],
                "axes.edgecolor": self.colours["grid"],
                "xtick.color": self.colours["muted"],
                "ytick.color": self.colours["muted"],
                "xtick.labelcolor": self.colours["ink"],
                "ytick.labelcolor": self.colours["ink"],
                "grid.color": self.colours["grid"],
            }
        )
        self._style.__enter__()
        self.figure = Figure(figsize=self.size, layout=ConstrainedLayoutEngine(hspace=0.12))
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
        for name, colour in VARIABLES.items():
            drawing = drawing.replace(colour, f"var(--{name})")
        return drawing

    def file(self, kind: str) -> bytes:
        """The drawing as a file of its own: "svg" or "png", on paper of the canvas's colour."""
        out = io.BytesIO()
        metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
        self.figure.savefig(out, format=kind, dpi=144, facecolor=self.colours["paper"], metadata=metadata)
        return out.getvalue()


def plain(axes: Axes, grid: str) -> None:
    """No frame, no ticks, a grid along the axis `grid` ("x", "y" or "both") behind everything."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis=grid, lw=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
