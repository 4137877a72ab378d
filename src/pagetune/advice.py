"""How to train on this machine: the user's real pages, tried at several sizes with all weights and with adapters.

Nothing is written: the workspace stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from pagetune.errors import MissingExtra, ModelError, RecipeError

if TYPE_CHECKING:
    from pagetune.context import Context
    from pagetune.material import Material
    from pagetune.recipe import Recipe
    from pagetune.training.planning import Option, Work
    from pagetune.training.trials import Machine

SIDES = (256, 384, 512, 600, 768)
"""Of the square that a page's pixels would fill, besides the recipe's own bound."""

RANK = 32
"""Of the adapters that are tried where the recipe has none."""

READS = "reads the text of pages, it has no pixels to plan; name a model that looks at pages, such as qwen3-vl-2b"


@dataclass(frozen=True)
class Advice:
    """What was tried, and what it comes to."""

    recipe: Recipe
    """As it was given, but for what is `auto`."""
    machine: Machine
    model: str
    material: str
    work: Work
    options: tuple[Option, ...]
    """The fewest pixels first."""
    chosen: Option | None
    sentence: str
    overrides: Mapping[str, Any]
    notes: tuple[str, ...]
    """What was not tried, and why."""

    @property
    def arguments(self) -> list[str]:
        """The overrides as `key=value`."""
        return [f"{key}={'null' if value is None else value}" for key, value in self.overrides.items()]

    def advised_recipe(self) -> str:
        """The recipe with the advice taken, as YAML that says what it was measured on. Raises RecipeError for none."""
        from pagetune.recipe import with_values

        if self.chosen is None:
            raise RecipeError([self.sentence])
        head = [
            self.sentence,
            f"Measured on {self.machine.name}, on {self.material}: {self.chosen.measured_on}.",
            f"The model {self.model}.",
        ]
        return "".join(f"# {line}\n" for line in head) + with_values(self.recipe, self.overrides).to_yaml()

    def summary(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "sentence": self.sentence,
            "advised": None if self.chosen is None else self.chosen.summary(),
            "overrides": dict(self.overrides),
            "options": [option.summary() for option in self.options],
            "machine": {**asdict(self.machine), "usable_bytes": self.machine.usable},
            "model": self.model,
            "material": self.material,
            "work": asdict(self.work),
            "notes": list(self.notes),
        }


def advise(context: Context, sizes: Sequence[int] = (), hours: float | None = None) -> Advice:
    """Try the recipe's model on the workspace's pages, at so many pixels each (none given: several), and choose.

    Where a key of the recipe is `auto`, those that are not stay as they are; else both are tried, pixels and adapters.
    `hours`: what training may take. Raises WorkspaceError where there are no pages, ModelError for a model that reads.
    """
    from pagetune.material import find_material
    from pagetune.models.inspect import by_image, describe
    from pagetune.models.loading import load_model
    from pagetune.models.pixels import pixel_bounds
    from pagetune.recipe import left_open, without_auto
    from pagetune.training.arguments import plan
    from pagetune.training.planning import Work, choose, explain, overrides
    from pagetune.training.trials import find_machine

    free, recipe = left_open(context.recipe), without_auto(context.recipe)
    context = replace(context, recipe=recipe)
    _refuse_light(recipe)
    material = find_material(context)
    planned = plan(material.rows, material.pages, recipe.fit)
    model = load_model(recipe.model)
    if not by_image(model):
        raise ModelError(f"model.name={recipe.model.name!r} {READS}")
    machine, told, bounds = find_machine(model), describe(model), pixel_bounds(model)
    trials = Trials(context, model, material, Work.of(planned, material.columns, material.judged), machine)
    own = bounds[1] if bounds else None
    rank = recipe.lora.chosen_rank
    ranks = (rank,) if free and "lora.rank" not in free else (0, rank or RANK)
    held = [own] if own and free and "model.max_pixels" not in free else []
    options = trials.run(_sizes(bounds, sizes or held), ranks)
    chosen = choose(options, recipe, own, hours)
    return Advice(
        recipe=recipe,
        machine=machine,
        model=told,
        material=material.told,
        work=trials.work,
        options=tuple(options),
        chosen=chosen,
        sentence=explain(chosen, options, recipe, own, machine, hours, free=bool(free)),
        overrides=overrides(chosen, recipe, free) if chosen else {},
        notes=tuple(trials.notes),
    )


@dataclass
class Trials:
    """The ways to train, tried one after the other. Adapters stay on the model, whose pixel bound is the last one's."""

    context: Context
    model: Any
    material: Material
    work: Work
    machine: Machine

    def run(self, sizes: Sequence[int | None], ranks: Sequence[int]) -> list[Option]:
        """`ranks`: of adapters, 0 for all weights; these first, as the fewest pixels are, so that memory runs out as
        late as it can."""
        from pagetune.models.adapters import add_adapters, freeze_vision

        recipe = self.context.recipe
        if recipe.fit.freeze_vision:
            freeze_vision(self.model)
        self.notes: list[str] = []
        found: list[Option] = []
        with self.context.progress.task("plan", len(ranks) * len(sizes), "ways to train") as task:
            for rank in ranks:
                if rank:
                    try:
                        add_adapters(self.model, recipe.lora.model_copy(update={"rank": rank}), recipe.fit.seed)
                    except (MissingExtra, ModelError) as error:
                        if len(ranks) == 1:
                            raise
                        self.notes.append(f"adapters were not tried: {error}")
                        break
                for option in self._of_weights(sizes, rank):
                    found.append(option)
                    task.advance()
        return sorted(found, key=lambda option: (option.pixels or 0, option.rank))

    def _of_weights(self, sizes: Sequence[int | None], rank: int) -> Iterator[Option]:
        from pagetune.training.planning import Option, forecast, one_page, told_bytes
        from pagetune.training.trials import weigh

        weights = weigh(self.model)
        fixed, of_a_page, before = weights.held + weights.gradients + weights.optimizer, 0, 0
        graphs = self.context.recipe.fit.graph_memory
        for pixels in sizes:
            # As with the pages before, and as much more as there are more pixels: too much would end a CPU's process.
            expected = fixed + (of_a_page * (pixels or 0) // before if before else 0)
            if expected > self.machine.usable:
                basis = f"pages of {before:,} pixels" if before else "the weights alone"
                why = f"{told_bytes(expected)} are needed, counted from {basis}"
                yield Option(pixels, rank, why_not=why, bytes=expected, measured_on=basis)
                continue
            costs = self._costs(pixels, weights.gradients + weights.optimizer)
            if costs is None:
                yield Option(pixels, rank, why_not="out of memory", measured_on="one page, forward and backward")
                continue
            of_a_page, before = one_page(costs), pixels or 0
            allowed = None if graphs == "auto" else graphs * 2**30
            yield forecast(pixels, rank, costs, weights, self.work, self.machine, allowed)

    def _costs(self, pixels: int | None, reserved: int) -> Any:
        """What pages of so many pixels cost; None where one is too much."""
        from pagetune.models.pixels import bound_pixels, rendering
        from pagetune.training.memory import is_out_of_memory, release
        from pagetune.training.trials import try_steps

        if pixels is not None:
            bound_pixels(self.model, None, pixels)
        train = self.material.train(rendering(self.model))
        try:
            return try_steps(self.model, train, self.context.recipe.fit, reserved)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        self.model.zero_grad(set_to_none=True)
        release(next(self.model.parameters()).device)
        return None


def _sizes(bounds: tuple[int, int] | None, asked: Sequence[int]) -> list[int | None]:
    """Bounds on pixels to try, the fewest first."""
    if bounds is None:
        if asked:
            raise RecipeError([f"--pixels {asked[0]}: the model scales every page alike; leave it out"])
        return [None]
    low, own = bounds
    if wrong := [size for size in asked if size < low]:
        raise RecipeError(
            [f"--pixels {wrong[0]}: the model enlarges pages to {low} pixels (model.min_pixels); give more"]
        )
    return [*sorted(set(asked) or {own, *(side * side for side in SIDES if side * side >= low)})]


def _refuse_light(recipe: Recipe) -> None:
    from pagetune.models.specs import resolve

    named = recipe.model
    if named.kind != "router" and (named.name == "light" or resolve(named).name == "light"):
        raise ModelError(f"model.name={named.name!r} {READS}")
