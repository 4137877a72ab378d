import pytest
from PIL import Image

import _tiny
from pagetune.errors import ModelError
from pagetune.models import specs
from pagetune.models.inspect import describe
from pagetune.models.loading import load_model, save_model
from pagetune.models.pixels import bound_pixels, pixel_bounds, rendering
from pagetune.recipe import RecipeError, load_recipe


def recipe(*keys: str):
    return load_recipe(None, keys).model


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    return _tiny.tiny_qwen3_vl(tmp_path_factory.mktemp("qwen") / "model", words=["ledger"])


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    return _tiny.tiny_siglip(tmp_path_factory.mktemp("siglip") / "model")


def test_a_preset_fills_in_what_the_recipe_leaves_open():
    spec = specs.resolve(recipe("model.name=qwen3-vl-2b", "model.max_pixels=360000"))
    assert spec.name == "Qwen/Qwen3-VL-Embedding-2B"
    assert (spec.kind, spec.min_pixels, spec.max_pixels) == ("dense", 4096, 360000)
    assert specs.resolve(recipe("model.name=colqwen2")).kind == "late"


def test_the_recipe_wins_over_the_preset():
    spec = specs.resolve(recipe("model.name=qwen3-vl-2b", "model.query_prompt='find: '", "model.dtype=float16"))
    assert spec.prompts() == {"query": "find: "}
    assert spec.dtype == "float16"


def test_auto_without_a_gpu_or_a_hub_is_light():
    spec = specs.resolve(recipe("model.name=auto"))
    assert spec.name == "light"
    assert "light" in spec.reason
    assert specs.choice(recipe("model.name=auto")) == spec.reason
    assert specs.choice(recipe("model.name=light")) == ""


def test_flash_attention_that_is_not_installed_is_refused():
    with pytest.raises(ModelError, match="flash-attn"):
        specs.resolve(recipe("model.name=qwen3-vl-2b", "model.attention=flash_attention_2"))


def test_pixel_bounds_scale_the_pages_and_are_saved(qwen, tmp_path):
    page = Image.effect_noise((600, 800), 60).convert("RGB")
    model = load_model(recipe(f"model.name={qwen}", "model.min_pixels=784", "model.max_pixels=90000"))
    few = model.preprocess([page])["pixel_values"].shape[0]
    assert few * 16 * 16 <= 90000
    assert rendering(model) == {"max_pixels": 90000}
    save_model(model, tmp_path / "saved")
    again = load_model(recipe(f"model.name={tmp_path / 'saved'}"))
    assert pixel_bounds(again) == (784, 90000)
    wider = load_model(recipe(f"model.name={tmp_path / 'saved'}", "model.max_pixels=360000"))
    assert wider.preprocess([page])["pixel_values"].shape[0] > few


def test_a_model_of_fixed_pictures_has_no_bounds(siglip):
    with pytest.raises(ModelError, match="scales every page alike"):
        load_model(recipe(f"model.name={siglip}", "model.max_pixels=90000"))
    model = load_model(recipe(f"model.name={siglip}"))
    bound_pixels(model, 784, None, required=False)
    assert pixel_bounds(model) is None
    assert rendering(model) == {"long_side": 448}


def test_bounds_that_cross_are_refused(qwen):
    with pytest.raises(ModelError, match="above max_pixels"):
        load_model(recipe(f"model.name={qwen}", "model.max_pixels=1000"))
    with pytest.raises(RecipeError, match="must not be above"):
        recipe("model.min_pixels=5000", "model.max_pixels=4000")


def test_a_siglip_text_is_the_same_alone_and_in_a_batch(siglip):
    model = load_model(recipe(f"model.name={siglip}"))
    alone = model.encode_query(["a ledger"])[0]
    beside = model.encode_query(["a ledger", "a much longer text about a harbour and its cranes"])[0]
    assert abs(alone - beside).max() < 1e-4


def test_prompts_of_the_recipe_are_used_and_saved(qwen, tmp_path):
    plain = load_model(recipe(f"model.name={qwen}"))
    model = load_model(recipe(f"model.name={qwen}", "model.query_prompt='Find the page: '"))
    assert abs(model.encode_query(["ledger"]) - plain.encode_query(["ledger"])).max() > 1e-4
    save_model(model, tmp_path / "saved")
    again = load_model(recipe(f"model.name={tmp_path / 'saved'}"))
    assert abs(again.encode_query(["ledger"]) - model.encode_query(["ledger"])).max() < 1e-5


def test_a_router_needs_two_towers_that_take_what_they_are_given(qwen, tmp_path):
    text = _tiny.tiny_text_encoder(tmp_path / "text")
    with pytest.raises(RecipeError, match="image_model"):
        recipe(f"model.name={text}", "model.kind=router")
    with pytest.raises(ModelError, match="image tower"):
        load_model(recipe(f"model.name={text}", "model.kind=router", f"model.image_model={text}"))


def test_a_router_is_built_saved_and_reloaded(siglip, tmp_path):
    text = _tiny.tiny_text_encoder(tmp_path / "text")
    chosen = recipe(f"model.name={text}", "model.kind=router", f"model.image_model={siglip}", "model.projection=48")
    model = load_model(chosen)
    assert model.get_embedding_dimension() == 48
    page = Image.effect_noise((300, 400), 60).convert("RGB")
    save_model(model, tmp_path / "saved")
    again = load_model(chosen, tmp_path / "saved")
    assert abs(model.encode_document([page]) - again.encode_document([page])).max() < 1e-5
    assert abs(model.encode_query(["ledger"]) - again.encode_query(["ledger"])).max() < 1e-5


def test_late_interaction_over_a_backbone_and_from_a_checkpoint(qwen, tmp_path):
    fresh = load_model(recipe(f"model.name={qwen}", "model.kind=late", "model.projection=32"))
    assert fresh.get_embedding_dimension() == 32
    save_model(fresh, tmp_path / "saved")
    again = load_model(recipe(f"model.name={tmp_path / 'saved'}"))
    assert abs(fresh.encode_query(["ledger"])[0] - again.encode_query(["ledger"])[0]).max() < 1e-5
    published = load_model(recipe(f"model.name={_tiny.tiny_colqwen2(tmp_path / 'col')}"))
    assert "a vector a token of 64 dimensions" in describe(published).replace(", of", " of")


def test_a_folder_that_is_no_model_says_so(tmp_path):
    (tmp_path / "modules.json").write_text("{}")
    with pytest.raises(ModelError, match="not a Sentence Transformers folder"):
        load_model(recipe(f"model.name={tmp_path}"))
