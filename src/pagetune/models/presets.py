"""The known models for visual document retrieval, retrievers and rerankers, and the choice of `--model auto`.

A prompt of None leaves the checkpoint's own Sentence Transformers configuration or processor in charge. That is
nearly always right: late-interaction checkpoints write theirs inside the processor, and a model with a chat template
receives a prompt as its system message, so that a prefix given a second time changes the input. In the same way None
leaves the bounds on pixels to the checkpoint, and models of a fixed size (CLIP, SigLIP) or of tiles have none.

The figures come from the checkpoints' configurations, Sentence Transformers' lists of supported models and the model
registry of MTEB. A note says what could not be verified, and how a model loads where it needs more than its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

OVERHEAD = 1.2
"""Memory of an inference over that of the weights alone: activations of a small batch, buffers, the allocator."""

AUTO_GPU_GIGABYTES = 8
"""Of GPU memory from which `auto` takes the 2B model: its weights, and room for page images."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A model by a short name: where it lies and how it wants to be used.

    `parameters` are millions. `dimension` is the width of a vector: of a page (dense, router) or a token (late).
    `image_model` is the image tower of a router, whose text tower is `hub_id`.
    """

    name: str
    hub_id: str
    kind: Literal["dense", "late", "router"]
    dimension: int
    parameters: int
    dtype: Literal["bfloat16", "float32"]
    query_prompt: str | None = None
    document_prompt: str | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    trust_remote_code: bool = False
    revision: str | None = None
    image_model: str | None = None
    note: str = ""

    @property
    def gigabytes(self) -> float:
        """GPU memory for inference in `dtype`, roughly; training needs several times as much."""
        bytes_each = 2 if self.dtype == "bfloat16" else 4
        return round(self.parameters * bytes_each * OVERHEAD / 1000, 1)


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
PRESETS: tuple[Preset, ...] = (
    # Dense vision-language models that Sentence Transformers loads by itself.
    Preset("qwen3-vl-2b", "Qwen/Qwen3-VL-Embedding-2B", "dense", 2048, 2128, "bfloat16",
           min_pixels=4 * 32 * 32, max_pixels=1800 * 32 * 32, note="the checkpoint's own prompts"),
    Preset("qwen3-vl-8b", "Qwen/Qwen3-VL-Embedding-8B", "dense", 4096, 8145, "bfloat16",
           min_pixels=4 * 32 * 32, max_pixels=1800 * 32 * 32, note="the checkpoint's own prompts"),
    Preset("qwen3-vl-2b-vdr", "tomaarsen/Qwen3-VL-Embedding-2B-vdr", "dense", 1024, 2128, "bfloat16",
           min_pixels=28 * 28, max_pixels=600 * 600, note="the published finetune; the checkpoint's own prompts"),
    Preset("bge-vl-mllm-s2", "BAAI/BGE-VL-MLLM-S2", "dense", 4096, 7566, "bfloat16", trust_remote_code=True,
           note="the checkpoint's own prompts, not verified"),
    Preset("bge-vl-v1.5", "BAAI/BGE-VL-v1.5-zs", "dense", 4096, 7567, "bfloat16", trust_remote_code=True,
           note="the checkpoint's own prompts, not verified"),

    # Dense vision-language models that bring code of their own.
    Preset("omni-embed-nemotron-3b", "nvidia/omni-embed-nemotron-3b", "dense", 2048, 4703, "bfloat16",
           trust_remote_code=True, note="the checkpoint's own prompts, not verified"),
    Preset("llama-nemotron-embed-vl-1b-v2", "nvidia/llama-nemotron-embed-vl-1b-v2", "dense", 2048, 1678, "bfloat16",
           trust_remote_code=True, note="its code writes query: and passage:; page images in tiles, not pixels"),
    Preset("jina-embeddings-v4", "jinaai/jina-embeddings-v4", "dense", 2048, 3800, "bfloat16",
           max_pixels=768 * 28 * 28, trust_remote_code=True,
           note="its code reads task=retrieval and prompt_name; not verified with transformers 5"),
    Preset("vdr-2b-multi", "llamaindex/vdr-2b-multi-v1", "dense", 1536, 2209, "bfloat16",
           min_pixels=28 * 28, max_pixels=768 * 28 * 28, trust_remote_code=True,
           note="its code writes the prompts; not verified with transformers 5"),
    Preset("vdr-2b", "llamaindex/vdr-2b-v1", "dense", 1536, 2209, "bfloat16",
           min_pixels=28 * 28, max_pixels=768 * 28 * 28, trust_remote_code=True,
           note="English; its code writes the prompts; not verified with transformers 5"),
    Preset("gme-2b", "Alibaba-NLP/gme-Qwen2-VL-2B-Instruct", "dense", 1536, 2209, "bfloat16",
           min_pixels=4 * 28 * 28, max_pixels=1280 * 28 * 28, trust_remote_code=True,
           note="its code writes the prompts; not verified with transformers 5"),
    Preset("gme-7b", "Alibaba-NLP/gme-Qwen2-VL-7B-Instruct", "dense", 3584, 7746, "bfloat16",
           min_pixels=4 * 28 * 28, max_pixels=1280 * 28 * 28, trust_remote_code=True,
           note="its code writes the prompts; not verified with transformers 5"),
    Preset("e5-omni-3b", "Haon-Chen/e5-omni-3B", "dense", 2048, 4703, "bfloat16", trust_remote_code=True,
           note="the checkpoint's own prompts, not verified; its authors put Query: before a query"),
    Preset("e5-omni-7b", "Haon-Chen/e5-omni-7B", "dense", 3584, 8932, "bfloat16", trust_remote_code=True,
           note="the checkpoint's own prompts, not verified; its authors put Query: before a query"),

    # Dense vision-language models whose loading in Sentence Transformers could not be verified.
    Preset("nomic-embed-multimodal-3b", "nomic-ai/nomic-embed-multimodal-3b", "dense", 2048, 3814, "bfloat16",
           note="colpali-engine's BiQwen2_5 with LoRA; prompts not verified; MTEB lists dimension 128"),
    Preset("nomic-embed-multimodal-7b", "nomic-ai/nomic-embed-multimodal-7b", "dense", 3584, 8300, "bfloat16",
           note="colpali-engine's BiQwen2_5 with LoRA; prompts not verified"),
    Preset("lco-embedding-omni-3b", "LCO-Embedding/LCO-Embedding-Omni-3B", "dense", 2048, 4703, "bfloat16",
           note="prompts not verified"),
    Preset("lco-embedding-omni-7b", "LCO-Embedding/LCO-Embedding-Omni-7B", "dense", 3584, 8932, "bfloat16",
           note="prompts and dimension not verified"),
    Preset("modernvbert-embed", "ModernVBERT/modernvbert-embed", "dense", 768, 252, "float32",
           note="general images, not documents; colpali-engine's format, mean pooling; prompts not verified"),
    Preset("bimodernvbert", "ModernVBERT/bimodernvbert", "dense", 768, 252, "float32",
           note="colpali-engine's format, mean pooling; prompts, dimension not verified"),

    # Late interaction: MultiVectorEncoder loads them; the processor writes the prompts.
    Preset("colmodernvbert", "ModernVBERT/colmodernvbert", "late", 128, 252, "float32",
           note="the checkpoint's own prompts; small enough for a CPU"),
    Preset("colqwen2", "vidore/colqwen2-v1.0-hf", "late", 128, 2210, "bfloat16",
           note="the checkpoint's own prompts; the port to transformers"),
    Preset("colqwen2.5", "vidore/colqwen2.5-v0.2", "late", 128, 3800, "bfloat16",
           note="the checkpoint's own prompts; a LoRA adapter, needs peft"),
    Preset("colqwen-omni", "vidore/colqwen-omni-v0.1", "late", 128, 4400, "bfloat16",
           note="the checkpoint's own prompts; audio and video too"),
    Preset("colpali", "vidore/colpali-v1.3-hf", "late", 128, 2900, "bfloat16",
           note="the checkpoint's own prompts; the port to transformers"),
    Preset("colsmol-256m", "vidore/colSmol-256M", "late", 128, 256, "bfloat16",
           note="the checkpoint's own prompts; needs peft"),
    Preset("colsmol-500m", "vidore/colSmol-500M", "late", 128, 507, "bfloat16",
           note="the checkpoint's own prompts; needs peft"),
    Preset("evie-4.5b", "tencent/EVIE-Preview-4.5B", "late", 128, 4540, "bfloat16",
           note="the checkpoint's own prompts"),
    Preset("tomoro-colqwen3-4b", "TomoroAI/tomoro-colqwen3-embed-4b", "late", 320, 4400, "bfloat16",
           trust_remote_code=True, note="the checkpoint's own prompts"),
    Preset("tomoro-colqwen3-8b", "TomoroAI/tomoro-colqwen3-embed-8b", "late", 320, 8800, "bfloat16",
           trust_remote_code=True, note="the checkpoint's own prompts"),
    Preset("webai-colvec-4b", "webAI-Official/webAI-ColVec1.1-4b", "late", 640, 4500, "bfloat16",
           trust_remote_code=True, note="the checkpoint's own prompts"),
    Preset("ops-colqwen3-4b", "OpenSearch-AI/Ops-Colqwen3-4B", "late", 2560, 4800, "bfloat16",
           trust_remote_code=True, revision="refs/pr/5",
           note="prompts not verified; the revision adds the configuration and code for transformers 5"),

    # Two towers trained together: no prompts, images of one size.
    Preset("siglip2-base-224", "google/siglip2-base-patch16-224", "dense", 768, 375, "float32",
           note="takes no prompts; trained on queries padded to 64 tokens"),
    Preset("siglip2-so400m", "google/siglip2-so400m-patch14-384", "dense", 1152, 1136, "float32",
           note="takes no prompts; trained on queries padded to 64 tokens"),
    Preset("clip-b32", "sentence-transformers/clip-ViT-B-32", "dense", 512, 151, "float32",
           note="takes no prompts; a query is cut off at 77 tokens"),
    Preset("clip-l14", "sentence-transformers/clip-ViT-L-14", "dense", 768, 428, "float32",
           note="takes no prompts; a query is cut off at 77 tokens"),
    Preset("jina-clip-v2", "jinaai/jina-clip-v2", "dense", 1024, 865, "bfloat16", trust_remote_code=True,
           note="prompts not verified; not verified with transformers 5"),

    # Our own.
    Preset("router", "sentence-transformers/all-MiniLM-L6-v2", "router", 768, 398, "float32",
           image_model="google/siglip2-base-patch16-224",
           note="takes no prompts; its towers are strangers until trained"),
    Preset("light", "light", "dense", 384, 23, "float32",
           note="takes no prompts; reads the text of a page; comes with the wheel, no hub"),
)
# fmt: on

AUTO_GPU, AUTO_CPU, AUTO_OFFLINE = "qwen3-vl-2b", "colmodernvbert", "light"
"""What `auto` takes on a GPU, on a CPU, and without a hub."""

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


def find_preset(name: str) -> Preset | None:
    """The preset of this name or Hub id, in any case; a router's towers are not the router."""
    wanted = name.casefold()
    for preset in PRESETS:
        if wanted == preset.name.casefold() or (preset.kind != "router" and wanted == preset.hub_id.casefold()):
            return preset
    return None


def find_reranker(name: str) -> RerankPreset | None:
    """The preset of this name or Hub id, in any case."""
    wanted = name.casefold()
    return next((each for each in RERANKERS if wanted in (each.name.casefold(), each.hub_id.casefold())), None)


def choose_auto(gpu_gigabytes: float | None, reachable: Callable[[str], bool]) -> tuple[Preset, str]:
    """The model for `--model auto`, and the sentence that says what was chosen and why.

    `gpu_gigabytes` is the memory of the GPU, None without one. `reachable` says of a Hub id whether the hub or its
    cache has it; it is asked only about models that the machine can run.
    """
    large, small, offline = _preset(AUTO_GPU), _preset(AUTO_CPU), _preset(AUTO_OFFLINE)
    # A card sold with 8 GB reports a little less.
    memory = None if gpu_gigabytes is None else round(gpu_gigabytes)
    if memory is not None and memory >= AUTO_GPU_GIGABYTES:
        if reachable(large.hub_id):
            return large, f"auto chose {large.name}: the GPU has {memory} GB, it wants {AUTO_GPU_GIGABYTES}"
        machine = f"the GPU has {memory} GB, but neither the hub nor its cache has {large.hub_id}"
        missing = f"{machine} or {small.hub_id}"
    else:
        machine = "there is no GPU"
        if memory is not None:
            machine = f"the GPU has {memory} GB, {large.name} wants {AUTO_GPU_GIGABYTES}"
        missing = f"{machine}, and neither the hub nor its cache has {small.hub_id}"
    if reachable(small.hub_id):
        size = f"its {small.parameters} million parameters are few enough for any machine"
        return small, f"auto chose {small.name}: {machine}, and {size}"
    return offline, f"auto chose {offline.name}: {missing}"


def _preset(name: str) -> Preset:
    return next(preset for preset in PRESETS if preset.name == name)
