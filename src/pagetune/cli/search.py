"""`pagetune search`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pagetune.cli.common import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, one_line_errors, print_json

if TYPE_CHECKING:
    from pagetune.records import Hit


@one_line_errors
def search(
    text: Annotated[str, typer.Argument(metavar="QUERY", help="What to look for; - reads it from standard input.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    count: Annotated[int, typer.Option("--count", "-k", min=1, max=1000, help="Pages to answer with.")] = 10,
    document: Annotated[
        list[str] | None, typer.Option("--document", "-d", help="Only pages of this document; may be repeated.")
    ] = None,
    mode: Annotated[
        Literal["fused", "dense", "lexical"], typer.Option(help="The tuned model and BM25 together, or one of them.")
    ] = "fused",
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Look at the first pages again with the workspace's reranker.")
    ] = False,
    deadline: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0, help="With --rerank: what is not looked at by then stays below, as it was found."
        ),
    ] = None,
    save_images: Annotated[
        Path | None, typer.Option("--save-images", metavar="FOLDER", help="Write the found pages as PNG files here.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find pages: rank, score, document, page, snippet; with --rerank the reranker's relevance, 0 to 1, too."""
    import sys

    from pagetune.cli.console import make_progress
    from pagetune.errors import SearchError
    from pagetune.search.engine import SearchEngine
    from pagetune.workspace import Workspace

    if deadline is not None and not rerank:
        raise SearchError(f"--deadline {deadline:g} limits reranking; add --rerank")
    query = sys.stdin.read() if text == "-" else text
    place = Workspace(workspace).open()
    if mode != "lexical":
        place.check("fit")
    with SearchEngine(place, progress=make_progress()) as engine:
        hits = engine.search(query.strip(), count, document or None, mode, rerank=rerank, deadline=deadline)
        saved = engine.save_images(hits, save_images) if save_images is not None else []
    if as_json:
        print_json([asdict(hit) for hit in hits])
        return
    _print_hits(hits)
    for path in saved:
        typer.echo(f"saved {path}")


def _print_hits(hits: list[Hit]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not hits:
        typer.echo("no page found")
        return
    looked = any(hit.relevance is not None for hit in hits)
    scores = ("score", "relevance") if looked else ("score",)
    table = Table("rank", *scores, "document", "page", "snippet", box=None, pad_edge=False)
    table.columns[-1].ratio = 1
    for hit in hits:
        shown = ["–" if hit.relevance is None else f"{hit.relevance:.3f}"] if looked else []
        table.add_row(str(hit.rank), f"{hit.score:.3f}", *shown, hit.document, str(hit.number), hit.snippet)
    Console(highlight=False, markup=False).print(table)
