"""Reviews of a workspace's judgements: what somebody decided counts in its next evaluation, and makes it run again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from pagetune.evaluation.false_negatives import SUSPECTS, holding, latest, read_decisions, reviewed, write_suspects
from pagetune.workspace import fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pagetune.evaluation.false_negatives import Suspect
    from pagetune.evaluation.ranking import Qrels
    from pagetune.workspace import Workspace


def judge_again(
    workspace: Workspace, qrels: Qrels, texts: Mapping[str, str], pages: Collection[str]
) -> tuple[dict[str, dict[str, int]], int]:
    """The judgements with what was decided in the workspace's reviews, and how many decisions that were.

    `texts` are those of the queries and `pages` the collection: what was decided on others is left out.
    """
    decisions = read_decisions(workspace.reviews)
    known = set(pages)
    return reviewed(qrels, decisions, texts, known), len(holding(decisions, qrels, texts, known))


def judged_by(
    workspace: Workspace, qrels: Qrels, texts: Mapping[str, str], pages: Collection[str]
) -> dict[tuple[str, str], dict[str, str]]:
    """Query and page of every judgement that `judge_again` took from a decision -> by whom, when, over which models."""
    decisions = holding(read_decisions(workspace.reviews), qrels, texts, set(pages))
    return {(one.query, one.page): {"by": one.by, "at": one.at, "models": ", ".join(one.models)} for one in decisions}


def review_stamp(workspace: Workspace) -> str | None:
    """What tells one state of the decisions from another; None where nothing is decided."""
    decided = sorted((one.query, one.page, one.grade) for one in latest(read_decisions(workspace.reviews)))
    return fingerprint(decided) if decided else None


def list_suspects(workspace: Workspace, suspects: Sequence[Suspect]) -> None:
    """Put the pages to look at in place of those that were listed before; no folder is made for none."""
    if suspects or (workspace.reviews / SUSPECTS).exists():
        write_suspects(suspects, workspace.reviews)
