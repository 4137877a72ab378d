"""Which reranker a workspace has, and how it is used: its weight against the shortlist, its calibration."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import ModelError, WorkspaceError
from pagetune.models.calibration import Calibration
from pagetune.workspace import Workspace, fingerprint, folder_digest, stamp_files, write_atomically

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
    """Validation queries that it was chosen on; 0: none."""
    gain: float = 0.0
    """What it brings there, in NDCG@10."""
    given: bool = False
    """Whether the recipe says it."""

    @property
    def about(self) -> str:
        """Half a sentence."""
        if self.given:
            return f"weight {self.weight:g}, as given"
        if not self.queries:
            return f"weight {self.weight:g}, as there were no validation queries to choose it on"
        return f"weight {self.weight:g}, chosen on {self.queries} validation queries ({self.gain:+.3f} there)"


@dataclass(frozen=True, slots=True)
class RerankUse:
    """What validation said of a reranker; as it stands here where there was none to ask."""

    mixture: Mixture = Mixture(UNFITTED)
    calibration: Calibration = field(default_factory=Calibration)

    def save(self, workspace: Workspace, recipe: Recipe) -> None:
        """Keep it for the reranker that this recipe means, beside what is kept for others."""
        try:
            kept = _read(workspace)
        except ModelError:
            kept = {}
        kept[key_of(workspace, recipe)] = asdict(self)
        write_atomically(_file(workspace), json.dumps(kept, indent=1))


def load_use(workspace: Workspace, recipe: Recipe) -> RerankUse | None:
    """What was kept for the reranker that this recipe means; None where nothing was. Raises ModelError for a damaged
    file."""
    found = _read(workspace).get(key_of(workspace, recipe))
    if found is None:
        return None
    try:
        return RerankUse(Mixture(**found["mixture"]), Calibration(**found["calibration"]))
    except (KeyError, TypeError) as error:
        raise _damaged(workspace, error) from None


def settled_use(workspace: Workspace, recipe: Recipe) -> RerankUse:
    """What the training of the reranker that this recipe means settled, by its record; half and half, uncalibrated,
    where it settled nothing."""
    record = workspace.finished("rerank") if uses_trained(workspace, recipe) else None
    found = None if record is None else record["summary"].get("use")
    if not found:
        return RerankUse()
    return RerankUse(Mixture(**found["mixture"]), Calibration(**found["calibration"]))


def has_use(workspace: Workspace, recipe: Recipe) -> bool:
    """Whether something is kept for it that can be read."""
    try:
        return load_use(workspace, recipe) is not None
    except ModelError:
        return False


def key_of(workspace: Workspace, recipe: Recipe) -> str:
    """What tells the reranker that this recipe means from every other: its content; of a published one its name."""
    name, revision = recipe.rerank.name, recipe.rerank.revision
    if not uses_trained(workspace, recipe):
        files = stamp_files([Path(name)]) if Path(name).is_dir() else []
        return f"{name} {revision or ''} {fingerprint(files) if files else ''}".strip()
    if (record := workspace.finished("rerank")) is not None:
        return str(record["summary"]["content"])
    return content_of(workspace.reranker)


def content_of(folder: Path) -> str:
    """A digest of a trained reranker: all of it but what is said about it."""
    from pagetune.models.saving import ADAPTER, CARD

    return folder_digest(folder, without=(CARD, ADAPTER))


def has_reranker(workspace: Workspace) -> bool:
    """Whether one was trained here."""
    return (workspace.reranker / "modules.json").is_file()


def made_from(workspace: Workspace) -> str | None:
    """The name of what the trained reranker was made from; None where its training left no record."""
    record = workspace.finished("rerank")
    return None if record is None else str(record["parts"]["recipe"]["rerank"]["name"])


def uses_trained(workspace: Workspace, recipe: Recipe) -> bool:
    """Whether the recipe means the reranker that was trained here.

    It does where there is one; unless it trains none (`kind`) and `rerank.name` is another published reranker than the
    one that this was made from. Raises ModelError where what it names cannot be looked at.
    """
    from pagetune.models.reranker_specs import resolve_reranker

    if not has_reranker(workspace):
        return False
    base = made_from(workspace)
    if recipe.kind == "reranker" or base is None or _known_as(base) == _known_as(recipe.rerank.name):
        return True
    return not resolve_reranker(recipe.rerank).saved


def open_reranker(workspace: Workspace, recipe: Recipe) -> Any:
    """The reranker that the recipe means: the workspace's trained one, or a published one that it names.

    Raises WorkspaceError where neither is there: a backbone alone scores by chance.
    """
    from pagetune.models.reranker import load_reranker
    from pagetune.models.reranker_specs import resolve_reranker

    if uses_trained(workspace, recipe):
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
    kept = load_use(workspace, recipe) or RerankUse()
    if recipe.rerank.weight == "auto":
        return kept
    return RerankUse(Mixture(recipe.rerank.weight, given=True), kept.calibration)


def not_evaluated(workspace: Workspace, recipe: Recipe) -> str | None:
    """What it means that no evaluation of the reranker at hand is kept, in a line; None where one is."""
    if load_use(workspace, recipe) is not None:
        return None
    weight = f"weight {UNFITTED:g} and " if recipe.rerank.weight == "auto" else ""
    return (
        f"rerank: this reranker has not been evaluated here: {weight}relevance without calibration; run: "
        f"pagetune evaluate --rerank -w {workspace.root}"
    )


def _known_as(name: str) -> str:
    """The Hub id of a preset; any other name as it is."""
    from pagetune.models.presets import find_reranker

    preset = find_reranker(name)
    return name if preset is None else preset.hub_id


def _file(workspace: Workspace) -> Path:
    # Not in the reranker's own folder, which the next training replaces.
    return workspace.runs / "rerank" / FILE


def _read(workspace: Workspace) -> dict[str, Any]:
    try:
        found = json.loads(_file(workspace).read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise TypeError(f"a {type(found).__name__}, not an object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(workspace, error) from None
    return found


def _damaged(workspace: Workspace, error: Exception) -> ModelError:
    reason = " ".join(str(error).split())
    return ModelError(f"{_file(workspace)} is damaged ({reason}); run: pagetune evaluate --rerank -w {workspace.root}")
