"""`pagetune review`: look at the pages that every system ranks above the judged one, and decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pagetune.cli.common import DEFAULT_WORKSPACE, WorkspaceOption, one_line_errors, short

if TYPE_CHECKING:
    from pagetune.workspace import Workspace

PORT = 8765


@one_line_errors
def review(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who decides; without it, who is logged in.")
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Of 127.0.0.1; 0: any free one.")] = PORT,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Confirm or reject the pages that every system ranks above the judged one, side by side in the browser.

    Served to this machine only (127.0.0.1). Decisions are kept in reviews/decisions.jsonl with who and when, and count
    from the next `pagetune evaluate` on.
    """
    from pagetune.recipe import load_recipe
    from pagetune.serving.local import HOST, open_socket, require, serve
    from pagetune.serving.review import Desk, create_review_app
    from pagetune.story import page_image
    from pagetune.workspace import Workspace

    require()
    place = Workspace(workspace).open()
    recipe = load_recipe(place.recipe_file)
    listed = place.reviews
    if not listed.is_dir():
        _nothing(place)
        return
    numbered = recipe.dataset.train is None
    desk = Desk(listed, page_image(place, recipe), by or _user(), numbered=numbered)
    if not desk.entries:
        _nothing(place)
        return
    listening = open_socket(port)
    address = f"http://{HOST}:{listening.getsockname()[1]}/"
    typer.echo(f"review   {address}   {desk.counts()['left']} to look at, as {desk.by}; Ctrl-C ends it")
    if show:
        import webbrowser

        webbrowser.open(address)
    serve(create_review_app(desk), listening)
    counts = desk.counts()
    typer.echo(f"{counts['confirmed']} confirmed, {counts['rejected']} rejected, {counts['left']} left")
    typer.echo(f"counted by: pagetune evaluate -w {short(place.root)}")


def _nothing(place: Workspace) -> None:
    """Raises WorkspaceError where no evaluation has looked for such pages."""
    from pagetune.errors import WorkspaceError

    if not (place.runs / "evaluate" / "metrics.json").exists():
        raise WorkspaceError(f"{place.root} holds no evaluation; run: pagetune evaluate -w {place.root}")
    typer.echo("nothing is in doubt: no page stands above the judged one in every system")


def _user() -> str:
    import getpass

    from pagetune.errors import DataError

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise DataError("who decides is not known here; give --by NAME") from None
