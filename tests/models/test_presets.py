"""The table of known models: whole, sane, found by name, and what `auto` takes of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from pagetune.models.presets import AUTO_GPU_GIGABYTES, PRESETS, Preset, choose_auto, find_preset

WIDE_TOKENS = {"tomoro-colqwen3-4b": 320, "tomoro-colqwen3-8b": 320, "webai-colvec-4b": 640, "ops-colqwen3-4b": 2560}
"""Late-interaction models whose tokens are wider than the usual 128."""


def test_names_and_hub_ids_are_unique() -> None:
    names = [preset.name for preset in PRESETS]
    assert len({name.casefold() for name in names}) == len(names)
    assert len({preset.hub_id.casefold() for preset in PRESETS}) == len(PRESETS)
    assert not {name.casefold() for name in names} & {p.hub_id.casefold() for p in PRESETS if p.name != "light"}
    assert "auto" not in names


def test_there_are_enough_to_compare() -> None:
    assert len([preset for preset in PRESETS if "not verified" not in preset.note]) >= 20


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_every_row_is_sane(preset: Preset) -> None:
    assert preset.name == preset.name.lower()
    assert preset.name.strip() == preset.name != ""
    assert preset.hub_id == "light" or preset.hub_id.count("/") == 1
    assert 64 <= preset.dimension <= 4096
    assert 10 <= preset.parameters <= 10_000
    if preset.min_pixels is not None and preset.max_pixels is not None:
        assert preset.min_pixels < preset.max_pixels
    assert (preset.image_model is not None) == (preset.kind == "router")
    assert preset.note
    assert preset.query_prompt is None or preset.query_prompt.strip()


def test_a_token_of_late_interaction_is_narrow() -> None:
    late = {preset.name: preset.dimension for preset in PRESETS if preset.kind == "late"}
    assert len(late) >= 4
    assert {name: width for name, width in late.items() if width != 128} == WIDE_TOKENS


def test_without_prompts_the_note_says_whose_they_are() -> None:
    for preset in PRESETS:
        if preset.query_prompt is None:
            assert any(word in preset.note for word in ("prompt", "its code")), preset.name


def test_memory_follows_from_the_size() -> None:
    half = Preset("a", "b/c", "dense", 8, 1000, "bfloat16")
    full = Preset("a", "b/c", "dense", 8, 1000, "float32")
    assert (half.gigabytes, full.gigabytes) == (2.4, 4.8)
    chosen = find_preset("qwen3-vl-2b")
    assert chosen is not None
    assert chosen.gigabytes < AUTO_GPU_GIGABYTES


def test_a_preset_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        PRESETS[0].name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("qwen3-vl-2b", "qwen3-vl-2b"),
        ("QWEN3-VL-2B", "qwen3-vl-2b"),
        ("qwen/qwen3-vl-embedding-2b", "qwen3-vl-2b"),
        ("vidore/colpali-v1.3-hf", "colpali"),
        ("google/siglip2-base-patch16-224", "siglip2-base-224"),
        ("router", "router"),
        ("light", "light"),
    ],
)
def test_lookup(asked: str, name: str) -> None:
    found = find_preset(asked)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("asked", ["", "auto", "qwen", "someone/else", "sentence-transformers/all-MiniLM-L6-v2"])
def test_what_is_no_preset_is_not_found(asked: str) -> None:
    assert find_preset(asked) is None


@pytest.mark.parametrize("memory", [7.63, 8, 23.65, 139.8])
def test_auto_on_a_gpu(memory: float) -> None:
    preset, why = choose_auto(memory, lambda _: True)
    assert preset.name == "qwen3-vl-2b"
    assert why == f"auto chose qwen3-vl-2b: the GPU has {round(memory)} GB, it wants 8"


def test_auto_on_a_cpu() -> None:
    preset, why = choose_auto(None, lambda _: True)
    assert preset.name == "colmodernvbert"
    assert why == (
        "auto chose colmodernvbert: there is no GPU, and its 252 million parameters are few enough for any machine"
    )


def test_auto_on_a_small_gpu() -> None:
    preset, why = choose_auto(4, lambda _: True)
    assert preset.name == "colmodernvbert"
    assert "the GPU has 4 GB, qwen3-vl-2b wants 8" in why


def test_auto_without_a_hub() -> None:
    preset, why = choose_auto(None, lambda _: False)
    assert preset.name == "light"
    assert why == (
        "auto chose light: there is no GPU, and neither the hub nor its cache has ModernVBERT/colmodernvbert"
    )


def test_auto_on_a_gpu_without_a_hub() -> None:
    preset, why = choose_auto(80, lambda _: False)
    assert preset.name == "light"
    assert why == (
        "auto chose light: the GPU has 80 GB, but neither the hub nor its cache has "
        "Qwen/Qwen3-VL-Embedding-2B or ModernVBERT/colmodernvbert"
    )


def test_auto_takes_what_the_cache_has() -> None:
    preset, why = choose_auto(80, lambda hub_id: hub_id == "ModernVBERT/colmodernvbert")
    assert preset.name == "colmodernvbert"
    assert "neither the hub nor its cache has Qwen/Qwen3-VL-Embedding-2B" in why


def test_auto_asks_only_about_what_the_machine_can_run() -> None:
    asked: list[str] = []
    choose_auto(None, lambda hub_id: bool(asked.append(hub_id)))
    assert asked == ["ModernVBERT/colmodernvbert"]


def test_the_table_is_light_to_import() -> None:
    code = "import sys, pagetune.models.presets; sys.exit(bool({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
