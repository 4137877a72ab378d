"""Rerankers: both architectures from a backbone, published ones by their own files, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import _tiny
import _tiny_reranker
from pagetune.errors import ModelError
from pagetune.models.inspect import architecture_of, sees, task_prompt
from pagetune.models.quiet import quiet
from pagetune.models.rerank_answers import pair_scores
from pagetune.models.reranker import load_reranker
from pagetune.models.reranker_specs import DIRECTIONS
from pagetune.recipe import RerankRecipe

SIZES: dict[str, Any] = {"hidden": 64, "vision_hidden": 64, "words": ("ledger", "camshaft")}
USER_ONLY = """\
{%- for message in messages -%}
{%- if message.role == 'user' -%}<|im_start|>user
{% for part in message.content -%}
{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == 'text' -%}{{ part.text }}{%- endif -%}
{%- endfor -%}<|im_end|>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}"""
"""A chat model's: a turn that is not the user's is left out."""


def picture(seed: int, width: int = 96, height: int = 128) -> Image.Image:
    draw = np.random.default_rng(seed)
    return Image.fromarray(draw.integers(0, 255, (height, width, 3), dtype=np.uint8))


def pairs() -> list[tuple[Any, Any]]:
    """Both directions, images and texts of unlike sizes."""
    return [
        ("the ledger", picture(0)),
        ("a camshaft of which the page says more than of the ledger", picture(1, 256, 160)),
        ("what", picture(2, 64, 64)),
        (picture(3, 160, 96), "the ledger"),
        (picture(0), "which chapter of the title has a table of a camshaft"),
    ]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _tiny_reranker.tiny_reranker_backbone(tmp_path_factory.mktemp("backbone"), **SIZES)


@pytest.fixture(scope="module")
def models(backbone: Path) -> dict[str, Any]:
    """Both architectures over one backbone."""
    given: dict[str, Any] = {"name": str(backbone)}
    return {each: load_reranker(RerankRecipe(architecture=each, **given)) for each in ("logit", "pooled")}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reranker with its own template and prompt, which answers yes or no."""
    from sentence_transformers import CrossEncoder

    place = tmp_path_factory.mktemp("published")
    with quiet():
        folder = _tiny_reranker.tiny_qwen3_vl_reranker(place / "bare", **SIZES)
        model = CrossEncoder(str(folder), prompts={"task": "Find the page."}, default_prompt_name="task")
        model.save_pretrained(str(place / "saved"), create_model_card=False)
    return place / "saved"


def changed(source: Path, target: Path, act: Callable[[Path], None]) -> Path:
    shutil.copytree(source, target)
    act(target)
    return target


def saved(model: Any, folder: Path) -> Path:
    with quiet():
        model.save_pretrained(str(folder), create_model_card=False)
    return folder


def set_value(file: str, key: str, value: Any) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        content[key] = value
        (folder / file).write_text(json.dumps(content))

    return act


def set_template(template: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "chat_template.jinja").write_text(template)


def refuse(folder: Path, *parts: str, **recipe: Any) -> None:
    """Loading is refused in one line that says all the parts."""
    with pytest.raises(ModelError) as caught:
        load_reranker(RerankRecipe(name=str(folder), **recipe))
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


# Both architectures.


def test_pooled_scores_as_logit_does_at_the_start(models: dict[str, Any]) -> None:
    scores = {name: pair_scores(model, pairs()) for name, model in models.items()}
    assert [architecture_of(models[name]) for name in ("logit", "pooled")] == ["logit", "pooled"]
    assert np.std(scores["logit"]) > 0.1
    np.testing.assert_allclose(scores["pooled"], scores["logit"], atol=1e-4)


def test_pooled_holds_no_head_and_reads_an_untied_one_from_the_checkpoint(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForMultimodalLM

    folder = _tiny_reranker.tiny_reranker_backbone(tmp_path / "untied", **SIZES)
    with quiet():
        whole = AutoModelForMultimodalLM.from_pretrained(folder)
        whole.config.tie_word_embeddings = whole.config.text_config.tie_word_embeddings = False
        whole.lm_head.weight = torch.nn.Parameter(torch.randn(whole.lm_head.weight.shape) / 8)
        (folder / "model.safetensors").unlink()
        whole.save_pretrained(folder, max_shard_size="400KB")  # The head is looked for through the index.
    assert len(list(folder.glob("*.safetensors"))) > 2
    logit, pooled = (load_reranker(RerankRecipe(name=str(folder), architecture=each)) for each in ("logit", "pooled"))
    head = [name for name, _ in pooled.named_parameters() if "lm_head" in name]
    count = {model: sum(each.numel() for each in model.parameters()) for model in (logit, pooled)}
    assert head == []
    assert count[logit] - count[pooled] == whole.lm_head.weight.numel() - 64
    np.testing.assert_allclose(pair_scores(pooled, pairs()), pair_scores(logit, pairs()), atol=1e-4)


@pytest.mark.parametrize("name", ["logit", "pooled"])
def test_batched_equals_single_and_left_equals_right(name: str, models: dict[str, Any]) -> None:
    model = models[name]
    single = pair_scores(model, pairs(), 1)
    assert np.std(single) > 0.1
    for side in (None, "left", "right"):
        np.testing.assert_allclose(pair_scores(model, pairs(), 8, side=side), single, atol=1e-4)
    # The comparison would see a model that looks at its padding.
    seeing = [model.preprocess(pairs()[:3], prompt="") for _ in range(2)]
    seeing[1]["attention_mask"] = seeing[1]["attention_mask"] * 0 + 1
    blind, all_seen = (model(each)["scores"].detach().numpy() for each in seeing)
    assert np.abs(blind - all_seen).max() > 1e-2


@pytest.mark.parametrize("name", ["logit", "pooled"])
def test_both_directions_prompts_reach_the_model(name: str, models: dict[str, Any]) -> None:
    model = models[name]
    seen = {}
    for direction, pair in zip(DIRECTIONS, (("the ledger", picture(0)), (picture(0), "the ledger")), strict=True):
        prompt = task_prompt(model, direction)
        assert prompt
        ids = model.preprocess([pair], prompt=prompt)["input_ids"][0].tolist()
        wanted = model.tokenizer.encode(prompt, add_special_tokens=False)
        # The first token may be one with the space before it.
        places = [at for at in range(len(ids)) if ids[at + 1 : at + len(wanted)] == wanted[1:]]
        assert len(places) == 1, f"{direction}: its prompt is not among the tokens"
        text = model.tokenizer.decode(ids)
        assert prompt in text
        assert ("<Query>: the ledger" in text) == (direction == "text_to_image")
        assert text.endswith("<|im_start|>assistant\n")
        seen[direction] = (prompt, ids)
    assert seen["text_to_image"] != seen["image_to_text"]
    assert seen["text_to_image"][0] != seen["image_to_text"][0]
    pair = [("the ledger", picture(0))]
    told = pair_scores(model, pair), pair_scores(model, pair, prompts=dict.fromkeys(DIRECTIONS, "Camshaft."))
    assert abs(told[0] - told[1]) > 1e-3


def test_the_recipes_prompts_win(backbone: Path) -> None:
    model = load_reranker(RerankRecipe(name=str(backbone), prompts={"image_to_text": "Find the question."}))
    assert task_prompt(model, "image_to_text") == "Find the question."
    assert task_prompt(model, "text_to_image") == _prompts()["text_to_image"]


def _prompts() -> dict[Any, str]:
    from pagetune.models.reranker_build import PROMPTS

    return PROMPTS


@pytest.mark.parametrize("name", ["logit", "pooled"])
def test_saved_and_loaded_it_scores_the_same(name: str, models: dict[str, Any], tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    model, folder = models[name], saved(models[name], tmp_path / name)
    wanted = pair_scores(model, pairs())
    again = load_reranker(RerankRecipe(), folder)
    assert architecture_of(again) == name
    np.testing.assert_allclose(pair_scores(again, pairs()), wanted, atol=1e-6)
    with quiet():
        plain = CrossEncoder(str(folder))
    odds = plain.predict(pairs()[:3], batch_size=2)  # The usual direction's prompt is the default one.
    np.testing.assert_allclose(odds, 1 / (1 + np.exp(-wanted[:3])), atol=1e-5)


def test_a_chat_models_template_is_taught_the_roles(tmp_path: Path) -> None:
    folder = _tiny_reranker.tiny_reranker_backbone(tmp_path / "chat", template=USER_ONLY, **SIZES)
    model: Any = load_reranker(RerankRecipe(name=str(folder), true_token="y", false_token="n"))
    pair = [("the ledger", picture(0))]
    ids = model.preprocess(pair, prompt="Find it.")["input_ids"][0]
    text = model.tokenizer.decode(ids)
    assert text.startswith("<|im_start|>user\n")
    assert text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    for part in ('Reply "y" if it does and "n"', "Find it.", "the ledger", "<|image_pad|>"):
        assert part in text
    assert model.tokenizer.decode([model[1].true_token_id, model[1].false_token_id]) == "yn"
    again: Any = load_reranker(RerankRecipe(), saved(model, tmp_path / "saved"))
    np.testing.assert_array_equal(
        again.preprocess([("the ledger", picture(0))], prompt="Find it.")["input_ids"][0], ids
    )


@pytest.mark.parametrize("architecture", ["logit", "pooled"])
def test_a_language_model_of_texts_reranks_texts(architecture: Any, tmp_path: Path) -> None:
    from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3ForCausalLM

    from _tiny_parts import CHAT_TEMPLATE, QWEN_MARKS, Shape, write_bare

    shape = Shape(hidden=64)
    tokenizer = shape.trained(Qwen2Tokenizer(model_max_length=512), QWEN_MARKS)
    tokenizer.eos_token, tokenizer.chat_template = "<|im_end|>", CHAT_TEMPLATE
    with shape.seeded():
        heads: dict[str, Any] = {"num_key_value_heads": 2, "head_dim": 16, "tie_word_embeddings": True}
        config = Qwen3Config(**shape.text(tokenizer), **heads, initializer_range=shape.spread)
        folder = write_bare(tmp_path / "text", Qwen3ForCausalLM(config), tokenizer)
    model: Any = load_reranker(RerankRecipe(name=str(folder), architecture=architecture, max_tokens=96))
    assert (architecture_of(model), sees(model)) == (architecture, False)
    texts = [("the ledger", "a page of the ledger"), ("what", "the title of the chapter " * 40)]
    single = pair_scores(model, texts, 1)
    for side in ("left", "right"):
        np.testing.assert_allclose(pair_scores(model, texts, side=side), single, atol=1e-4)
    # What is too long is cut off in the middle: where the answer begins is kept.
    ids = model.preprocess(texts)["input_ids"]
    assert ids.shape[1] == 96
    assert all(model.tokenizer.decode(row).endswith("<|im_start|>assistant\n") for row in ids)


def test_a_backbone_of_another_family(tmp_path: Path) -> None:
    folder = _tiny_reranker.tiny_smolvlm(tmp_path / "smolvlm", hidden=64)
    logit, pooled = (load_reranker(RerankRecipe(name=str(folder), architecture=each)) for each in ("logit", "pooled"))
    single = pair_scores(logit, pairs(), 1)
    assert np.std(single) > 0.1
    np.testing.assert_allclose(pair_scores(pooled, pairs()), single, atol=1e-4)
    np.testing.assert_allclose(pair_scores(logit, pairs(), side="right"), single, atol=1e-4)
    text = logit.tokenizer.decode(logit.preprocess(pairs()[:1], prompt="Find it.")["input_ids"][0])
    assert text.endswith("<end_of_utterance>\nAssistant:")
    for part in ("Find it.", "the ledger", "<image>"):
        assert part in text


# Published rerankers, and texts.


def test_a_published_reranker_keeps_its_template_prompt_and_answers(published: Path) -> None:
    from sentence_transformers import CrossEncoder

    with quiet():
        plain = CrossEncoder(str(published))
    model: Any = load_reranker(RerankRecipe(name=str(published)))
    assert (architecture_of(model), sees(model)) == ("logit", True)
    assert [task_prompt(model, each) for each in DIRECTIONS] == ["Find the page."] * 2
    assert model.processor.chat_template == plain.processor.chat_template
    assert model.tokenizer.decode([model[1].true_token_id, model[1].false_token_id]) == "yesno"
    # Patches are multiplied here and convolved there: equal to rounding.
    np.testing.assert_allclose(model.predict(pairs()), plain.predict(pairs()), atol=1e-5)


def test_light_is_a_text_reranker_that_is_the_same_each_time(tmp_path: Path) -> None:
    from pagetune.models.light import WHEEL

    pytest.importorskip(WHEEL)
    one, other = load_reranker(RerankRecipe()), load_reranker(RerankRecipe())
    assert (architecture_of(one), sees(one), one.max_seq_length, one.num_labels) == ("text", False, 256, 1)
    texts = [("reverse a transaction", "to reverse a booking"), ("flute", "the camshaft turns " * 40)]
    scores = pair_scores(one, texts)
    np.testing.assert_allclose(pair_scores(other, texts), scores, atol=1e-6)
    np.testing.assert_allclose(pair_scores(one, texts, 1), scores, atol=1e-5)
    right, wrong = pair_scores(one, [("flute", "she plays the flute"), ("flute", "the camshaft turns")])
    assert right > wrong, "it orders pages before it is trained"
    again = load_reranker(RerankRecipe(), saved(one, tmp_path / "saved"))
    assert again.max_seq_length == 256
    np.testing.assert_allclose(pair_scores(again, texts), scores, atol=1e-6)


def test_a_published_text_reranker(tmp_path: Path) -> None:
    folder = _tiny_reranker.tiny_text_reranker(tmp_path, hidden=64)
    model = load_reranker(RerankRecipe(name=str(folder), max_tokens=64))
    assert (architecture_of(model), model.max_seq_length) == ("text", 64)
    assert task_prompt(model, "text_to_image") is None


def test_a_published_classifier_that_sees(tmp_path: Path) -> None:
    folder = _tiny_reranker.tiny_seeing_classifier(tmp_path / "classifier", hidden=64, words=("ledger", "camshaft"))
    model = load_reranker(RerankRecipe(name=str(folder)))
    assert (architecture_of(model), sees(model)) == ("text", True)
    single = pair_scores(model, pairs(), 1)
    assert np.std(single) > 0.05
    np.testing.assert_allclose(pair_scores(model, pairs()), single, atol=1e-4)
    again = load_reranker(RerankRecipe(), saved(model, tmp_path / "saved"))
    np.testing.assert_allclose(pair_scores(again, pairs()), single, atol=1e-5)
    refuse(changed(folder, tmp_path / "deaf", set_template(USER_ONLY)), "does not carry a query and a page")
    bare = changed(folder, tmp_path / "bare", lambda place: (place / "chat_template.jinja").unlink())
    refuse(bare, "no chat template to put a query and a page into")


# Refusals.


def test_a_wrong_head_is_refused(tmp_path: Path, models: dict[str, Any], published: Path) -> None:
    encoder = _tiny.tiny_text_encoder(tmp_path / "encoder", hidden=64)
    refuse(encoder, "needs a language-model head", "BertModel", architecture="logit")
    classes = _tiny_reranker.tiny_text_reranker(tmp_path / "classes", labels=3, hidden=64)
    refuse(classes, "wrong head", "3 classes", "num_labels=1")
    folder = saved(models["pooled"], tmp_path / "pooled")
    entries = json.loads((folder / "modules.json").read_text())[:2]
    (folder / "modules.json").write_text(json.dumps(entries))
    refuse(folder, "wrong head", "no Dense layer")
    refuse(published, "is a reranker already", "set architecture=logit", architecture="pooled")
    seeing = _tiny_reranker.tiny_reranker_backbone(tmp_path / "seeing", **SIZES)
    refuse(seeing, "takes images", "logit or pooled", architecture="text")


def test_a_head_that_is_not_in_the_checkpoint_is_refused(tmp_path: Path, published: Path) -> None:
    from safetensors.torch import load_file, save_file

    def behead(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = False
        (folder / "config.json").write_text(json.dumps(config))
        file = folder / "model.safetensors"
        save_file({k: v for k, v in load_file(file).items() if "lm_head" not in k}, file, metadata={"format": "pt"})

    refuse(changed(published, tmp_path / "headless", behead), "wrong head", "lm_head.weight", "random")


def test_weights_that_are_pickled_are_looked_at_too(tmp_path: Path, published: Path, backbone: Path) -> None:
    import torch
    from safetensors.torch import load_file

    def pickle(folder: Path, head: torch.Tensor | None = None) -> None:
        config = json.loads((folder / "config.json").read_text())
        config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = False
        (folder / "config.json").write_text(json.dumps(config))
        weights = {k: v for k, v in load_file(folder / "model.safetensors").items() if "lm_head" not in k}
        torch.save(weights | ({} if head is None else {"lm_head.weight": head}), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()

    refuse(changed(published, tmp_path / "headless", pickle), "wrong head", "lm_head.weight", "random")
    vocabulary = load_file(backbone / "model.safetensors")["model.language_model.embed_tokens.weight"]
    head = torch.randn(vocabulary.shape, generator=torch.Generator().manual_seed(0)) / 8
    whole = changed(backbone, tmp_path / "whole", lambda folder: pickle(folder, head))
    both = [load_reranker(RerankRecipe(name=str(whole), architecture=each)) for each in ("logit", "pooled")]
    logit, pooled = (pair_scores(model, pairs()) for model in both)
    np.testing.assert_allclose(pooled, logit, atol=1e-4)


def test_a_missing_generation_prompt_is_refused(tmp_path: Path, published: Path, backbone: Path) -> None:
    untold = set_value("sentence_bert_config.json", "processing_kwargs", {})
    refuse(changed(published, tmp_path / "untold", untold), "would add a generation prompt", "add_generation_prompt")
    template = (backbone / "chat_template.jinja").read_text().partition("{% if add_generation_prompt")[0]
    never = changed(backbone, tmp_path / "never", set_template(template))
    for architecture in ("logit", "pooled"):
        refuse(never, "ends with '<|im_end|>'", "no generation prompt", architecture=architecture)
    for end in ("</Document>", "<end_of_turn>\n", '".'):
        other = template.replace("<|im_end|>", end)
        place = changed(backbone, tmp_path / f"end{len(end)}", set_template(other))
        refuse(place, "nothing behind the page", end.strip(), "no generation prompt")
    for opening in ("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", "\nRelevant:", "[/INST]"):
        fixed = changed(
            backbone, tmp_path / f"open{len(opening)}", set_template(template.replace("<|im_end|>", opening))
        )
        assert architecture_of(load_reranker(RerankRecipe(name=str(fixed)))) == "logit", "it opens the answer always"


def test_a_template_without_roles_is_refused(tmp_path: Path, published: Path, backbone: Path) -> None:
    refuse(
        changed(published, tmp_path / "user", set_template(USER_ONLY)),
        "does not carry a query and a page",
        "roles query and document",
    )
    blind = (backbone / "chat_template.jinja").read_text().replace("<|vision_start|><|image_pad|><|vision_end|>", "")
    refuse(changed(backbone, tmp_path / "blind", set_template(blind)), "an image as the 'document'")
    untaught = changed(backbone, tmp_path / "none", lambda folder: (folder / "chat_template.jinja").unlink())
    refuse(untaught, "no chat template")


def test_a_published_reranker_that_does_not_say_how_it_answers_is_refused(backbone: Path, tmp_path: Path) -> None:
    named = changed(backbone, tmp_path / "Some-Reranker-2B", lambda folder: None)
    refuse(named, "is one already, by its name", "no modules.json", "set rerank.architecture")
    assert architecture_of(load_reranker(RerankRecipe(name=str(named), architecture="pooled"))) == "pooled"

    def describe(folder: Path) -> None:
        (folder / "README.md").write_text("---\npipeline_tag: text-ranking\n---\n# A model\n")

    refuse(changed(backbone, tmp_path / "model", describe), "is one already, by its card")

    def mislead(folder: Path) -> None:
        (folder / "README.md").write_text("---\npipeline_tag: [\n---\n")

    assert architecture_of(load_reranker(RerankRecipe(name=str(changed(backbone, tmp_path / "m", mislead))))) == "logit"


def test_answers_of_more_than_one_token_are_refused(backbone: Path, published: Path) -> None:
    refuse(backbone, "rerank.true_token='10'", "2 tokens", true_token="10")
    refuse(backbone, "rerank.false_token=''", "no token", false_token="", architecture="pooled")
    refuse(backbone, "the same token", true_token="a", false_token="a")
    refuse(published, "answers with 'yes' and 'no'", true_token="1", false_token="0")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path / "nowhere", "cannot be loaded")
    refuse(Path("auto"), "rerank.name=auto")
    refuse(Path("light"), "light reads text alone", architecture="logit")
    with pytest.raises(ModelError, match="kind=reranker"):
        load_reranker(RerankRecipe(), tmp_path)


def test_presets() -> None:
    from pagetune.models.presets import RERANKERS, find_reranker

    names = [each.name for each in RERANKERS] + [each.hub_id for each in RERANKERS if each.hub_id != each.name]
    assert len(set(names)) == len(names)
    assert all(find_reranker(name.upper()) in RERANKERS for name in names)
    assert find_reranker("nothing") is None
    # No hub is in reach: the preset's own id is what is looked for, and named in the refusal.
    refuse(Path("qwen3-vl-reranker-2b"), "'Qwen/Qwen3-VL-Reranker-2B' cannot be loaded")


def test_pixel_bounds_are_the_recipes(backbone: Path, tmp_path: Path) -> None:
    from pagetune.models.pixels import pixel_bounds

    model = load_reranker(RerankRecipe(name=str(backbone), max_pixels=128 * 128))
    assert pixel_bounds(model) == (4096, 128 * 128)
    refuse(backbone, "rerank.min_pixels=4096 is above", max_pixels=1024)
