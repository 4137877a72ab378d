"""The known rerankers, and backbones to make one of, in one table.

Everything that a row leaves out is the checkpoint's own: chat template, prompts, head. The figures come from the model
registry of MTEB; a note says what could not be verified, and how a model loads where it needs more than its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RerankPreset:
    """A reranker by a short name. `parameters` are millions. `sees`: it takes page images."""

    name: str
    hub_id: str
    parameters: int
    dtype: Literal["bfloat16", "float32"]
    sees: bool
    min_pixels: int | None = None
    max_pixels: int | None = None
    trust_remote_code: bool = False
    revision: str | None = None
    note: str = ""


# fmt: off
RERANKERS: tuple[RerankPreset, ...] = (
    # Published rerankers that look at pages.
    RerankPreset("qwen3-vl-reranker-2b", "Qwen/Qwen3-VL-Reranker-2B", 2128, "bfloat16", True,
                 min_pixels=4 * 32 * 32, max_pixels=1280 * 32 * 32, note="answers yes or no; its own template"),
    RerankPreset("qwen3-vl-reranker-8b", "Qwen/Qwen3-VL-Reranker-8B", 8767, "bfloat16", True,
                 min_pixels=4 * 32 * 32, max_pixels=1280 * 32 * 32,
                 revision="407993db318a67dbb333bbeb8b1521fb703a3bb1",
                 note="answers yes or no; its own template; the revision puts its modules.json right"),
    RerankPreset("lighton-rerank-0.8b", "lightonai/LightOn-rerank-PW-0.8B", 853, "bfloat16", True,
                 note="not verified"),
    RerankPreset("lighton-rerank-2b", "lightonai/LightOn-rerank-PW-2B", 2213, "bfloat16", True, note="not verified"),
    RerankPreset("lighton-rerank-4b", "lightonai/LightOn-rerank-PW-4B", 4539, "bfloat16", True, note="not verified"),
    RerankPreset("llama-nemotron-rerank-vl-1b-v2", "nvidia/llama-nemotron-rerank-vl-1b-v2", 1678, "bfloat16", True,
                 trust_remote_code=True, note="page images in tiles, not pixels; not verified"),

    # Published rerankers of texts: a page is its words.
    RerankPreset("ettin-reranker-32m", "cross-encoder/ettin-reranker-32m-v1", 32, "float32", False,
                 note="not verified"),
    RerankPreset("ms-marco-minilm-l6", "cross-encoder/ms-marco-MiniLM-L6-v2", 23, "float32", False),

    # Our own.
    RerankPreset("light", "light", 23, "float32", False,
                 note="all-MiniLM-L6-v2 and a new classifier: of no use until trained; no hub"),
)
# fmt: on


def find_reranker(name: str) -> RerankPreset | None:
    """The preset of this name or Hub id, in any case."""
    wanted = name.casefold()
    return next((each for each in RERANKERS if wanted in (each.name.casefold(), each.hub_id.casefold())), None)
