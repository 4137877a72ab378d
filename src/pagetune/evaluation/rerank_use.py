"""Which reranker a workspace has, and how it is used: its weight against the shortlist, its calibration."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import ModelError, WorkspaceError
from pagetune.models.calibration import Calibration
from pagetune.workspace import Workspace, write_atomically

if TYPE_CHECKING:
    from pagetune.recipe import Recipe

FILE = "use.json"

UNFITTED = 0.5
"""The weight where there is no validation to choose it on."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """How much the reranker counts against the shortlist's own scores, and what that was chosen on."""

    weight: float
    queries: int = 0
    """Validation queries that it was chosen on; 0: it was given."""
    gain: float = 0.0
    """What it brings there, in NDCG@10."""

    @property
    def about(self) -> str:
        """Half a sentence."""
        if not self.queries:
            return f"weight {self.weight:g}, as given"
        return f"weight {self.weight:g}, the best on {self.queries} validation queries ({self.gain:+.3f} there)"


@dataclass(frozen=True, slots=True)
class RerankUse:
    """What validation said of a reranker. `name`: the recipe's; empty for the one that was trained."""

    mixture: Mixture = Mixture(UNFITTED)
    calibration: Calibration = field(default_factory=Calibration)
    name: str = ""

    def save(self, folder: Path) -> None:
        """Keep it in the reranker's folder."""
        write_atomically(folder / FILE, json.dumps(asdict(self), indent=1))


def load_use(folder: Path, name: str = "") -> RerankUse | None:
    """What was kept for the reranker of this name; None where nothing was. Raises ModelError for a damaged file."""
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        use = RerankUse(Mixture(**found["mixture"]), Calibration(**found["calibration"]), str(found["name"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{file} is damaged ({reason}); delete it and run: pagetune evaluate --rerank") from None
    return use if use.name == name else None


def has_reranker(workspace: Workspace) -> bool:
    """Whether one was trained here."""
    return (workspace.reranker / "modules.json").is_file()


def open_reranker(workspace: Workspace, recipe: Recipe) -> Any:
    """The workspace's trained reranker, else the published one that the recipe names.

    Raises WorkspaceError where neither is there: a backbone alone scores by chance.
    """
    from pagetune.models.reranker import load_reranker
    from pagetune.models.reranker_specs import resolve_reranker

    if has_reranker(workspace):
        workspace.check("rerank")
        return load_reranker(recipe.rerank, workspace.reranker)
    if recipe.rerank.name == "light" or not resolve_reranker(recipe.rerank).saved:
        raise WorkspaceError(
            f"{workspace.root} has no reranker yet, and rerank.name={recipe.rerank.name} is no trained one; run: "
            f"pagetune fit kind=reranker -w {workspace.root}"
        )
    return load_reranker(recipe.rerank)


def use_of(workspace: Workspace, recipe: Recipe) -> RerankUse:
    """How the reranker is to be used: as the recipe says, else as validation said, else half and half."""
    name = "" if has_reranker(workspace) else recipe.rerank.name
    kept = load_use(workspace.reranker, name) or RerankUse(Mixture(UNFITTED), name=name)
    if recipe.rerank.weight == "auto":
        return kept
    return RerankUse(Mixture(recipe.rerank.weight), kept.calibration, name)
