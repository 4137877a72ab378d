"""Published sets of page images by short names: ViDoRe v1 (Faysse et al., 2024), v2 (Macé et al., 2025), v3 (Loison et
al., 2026).

A name stands wherever a source of an evaluation set does: `dataset.eval`, `evaluate.guard`. All have corpus, queries
and qrels, split test; v3 writes its columns with an underscore, grades 1 and 2, and has every query in six languages.
Of v3 two more sets are private.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pagetune.errors import DataError

if TYPE_CHECKING:
    from pagetune.recipe import DatasetRecipe

_V3 = {"query_id": "query-id", "corpus_id": "corpus-id"}


@dataclass(frozen=True, slots=True)
class PublishedSet:
    """One evaluation set on the Hub. `columns`: a name of its tables -> ours."""

    name: str
    source: str
    about: str
    columns: dict[str, str] = field(default_factory=dict)


def _set(name: str, source: str, about: str) -> PublishedSet:
    return PublishedSet(name, f"vidore/{source}", about, _V3 if name.startswith("vidore-v3/") else {})


# fmt: off
_SETS = (
    # name                            the Hub's id: vidore/ and                           what it shows
    _set("vidore-v1/arxivqa",          "arxivqa_test_subsampled_beir",                     "figures of papers"),
    _set("vidore-v1/docvqa",           "docvqa_test_subsampled_beir",                      "scans of industry"),
    _set("vidore-v1/infovqa",          "infovqa_test_subsampled_beir",                     "infographics"),
    _set("vidore-v1/tabfquad",         "tabfquad_test_subsampled_beir",                    "tables, French"),
    _set("vidore-v1/tatdqa",           "tatdqa_test_beir",                                 "finance"),
    _set("vidore-v1/shift",            "shiftproject_test_beir",                           "environment, French"),
    _set("vidore-v1/ai",               "syntheticDocQA_artificial_intelligence_test_beir", "AI"),
    _set("vidore-v1/energy",           "syntheticDocQA_energy_test_beir",                  "energy"),
    _set("vidore-v1/government",       "syntheticDocQA_government_reports_test_beir",      "government"),
    _set("vidore-v1/healthcare",       "syntheticDocQA_healthcare_industry_test_beir",     "healthcare"),
    _set("vidore-v2/esg",              "esg_reports_v2",                                   "sustainability"),
    _set("vidore-v2/esg-human",        "esg_reports_human_labeled_v2",                     "the same, human"),
    _set("vidore-v2/economics",        "economics_reports_v2",                             "economics"),
    _set("vidore-v2/biomedical",       "biomedical_lectures_v2",                           "lecture slides"),
    _set("vidore-v3/finance-en",       "vidore_v3_finance_en",                             "banks"),
    _set("vidore-v3/finance-fr",       "vidore_v3_finance_fr",                             "finance, French"),
    _set("vidore-v3/industrial",       "vidore_v3_industrial",                             "aircraft manuals"),
    _set("vidore-v3/pharmaceuticals",  "vidore_v3_pharmaceuticals",                        "pharmaceuticals"),
    _set("vidore-v3/computer-science", "vidore_v3_computer_science",                       "textbooks"),
    _set("vidore-v3/hr",               "vidore_v3_hr",                                     "labour"),
    _set("vidore-v3/energy",           "vidore_v3_energy",                                 "energy, French"),
    _set("vidore-v3/physics",          "vidore_v3_physics",                                "physics, French"),
)
# fmt: on

PUBLISHED: dict[str, PublishedSet] = {one.name: one for one in _SETS}
"""By their short names."""


def resolve(recipe: DatasetRecipe) -> DatasetRecipe:
    """The same section with what a short name of `eval` stands for; with any other source (a Hub id, a file or a
    folder) as it is. What the section names itself, a split or a column, holds.

    Raises DataError for a name that begins as a short one does and is none.
    """
    known = PUBLISHED.get(recipe.eval or "")
    if known is None:
        if (recipe.eval or "").startswith("vidore-v"):
            near = difflib.get_close_matches(recipe.eval or "", PUBLISHED, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(PUBLISHED)}"
            raise DataError(f"{recipe.eval!r} is no published set; {hint}")
        return recipe
    named = {"eval": known.source, "eval_split": recipe.eval_split or "test"}
    return recipe.model_copy(update=named | {"columns": {**known.columns, **recipe.columns}})
