"""Recipes: every shipped one reads, round trips are exact, all mistakes are told together with a suggestion."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from tertia.errors import RecipeError
from tertia.recipe import Recipe, read_recipe
from tertia.training.settings import TrainingRecipe

SHIPPED = sorted(path.stem for path in Path(str(files("tertia"))).joinpath("recipes").glob("*.toml"))


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def mistakes(*arguments) -> str:
    with pytest.raises(RecipeError) as error:
        read_recipe(*arguments)
    return str(error.value)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_reads_and_says_what_it_is_for(name: str, tmp_path: Path) -> None:
    recipe = read_recipe(name)
    if getattr(recipe.family, "tokenizer", ""):  # a file of one's own
        with pytest.raises(RecipeError, match=r"family\.tokenizer.*\n.*tertia tokens"):
            recipe.family.network()
    else:
        assert recipe.family.network() is not None
    again = read_recipe(write(tmp_path, recipe.text()))
    assert again == recipe
    assert again.text() == recipe.text()
    first = Path(str(files("tertia"))).joinpath("recipes", f"{name}.toml").read_text().partition("\n")[0]
    assert first.startswith("# ") and len(first) > 20


def test_the_paper_recipe_is_the_published_one() -> None:
    recipe = read_recipe("distmap_paper")
    family, training = recipe.family, recipe.training
    assert (family.mode, family.width, family.bottleneck, family.n_blocks) == ("paper", 64, 16, 32)
    assert (family.dilations, family.n_levels, family.crop) == ((1, 3, 5, 9), 32, 32)
    assert (family.late_share, family.diagonal_share, family.near_share) == (0.0, 0.0, 0.0)
    assert (training.epochs, training.steps, training.batch, training.draws) == (50.0, 0, 32, 1)
    assert (training.learning_rate, training.schedule, training.weight_decay) == (1e-4, "constant", 0.0)
    assert (training.clip_norm, training.ema_decay, training.warmup_steps) == (0.0, 0.0, 0)


def test_the_paper_recipe_of_the_language_model_is_the_published_one() -> None:
    recipe, longer = read_recipe("pairlm_paper"), read_recipe("pairlm_longformer")
    family, training = recipe.family, recipe.training
    assert (family.architecture, family.width, family.n_layers, family.n_heads) == ("roberta", 768, 12, 12)
    assert (family.inner, family.longest, family.dropout, family.masked_share) == (3072, 512, 0.1, 0.15)
    assert (training.optimiser, training.betas, training.epsilon) == ("adamw", (0.9, 0.98), 1e-6)
    assert (training.learning_rate, training.schedule, training.final_learning_rate) == (1e-4, "linear", 0.0)
    assert (training.warmup_steps, training.batch, training.weight_decay) == (20_000, 128, 0.01)
    family, training = longer.family, longer.training
    assert (family.architecture, family.longest, family.window) == ("longformer", 2048, 512)
    assert (training.learning_rate, training.warmup_steps, training.batch) == (7e-5, 512, 16)


def test_a_recipe_of_odd_values_round_trips(tmp_path: Path) -> None:
    recipe = read_recipe(
        "distmap_tiny",
        ['data.store=a "quoted" \\ path/ü', "learning_rate=1e-30", "betas=[0.1, 0]", "compile=true", "dilations=[7]"],
    )
    assert recipe.data.store == 'a "quoted" \\ path/ü'
    assert recipe.training.betas == (0.1, 0.0) and recipe.training.compile is True
    assert read_recipe(write(tmp_path, recipe.text())) == recipe


def test_a_run_folder_is_a_recipe(tmp_path: Path) -> None:
    recipe = read_recipe("distmap_tiny", ["steps=7"])
    (tmp_path / "recipe.toml").write_text(recipe.text())
    assert read_recipe(tmp_path) == recipe


def test_keys_may_be_bare_or_with_their_section() -> None:
    for key in ("steps", "training.steps"):
        assert read_recipe("distmap_tiny", [f"{key}=11"]).training.steps == 11
    assert read_recipe("distmap_tiny", ["store=2024"]).data.store == "2024"
    assert read_recipe("distmap_tiny", ["learning_rate=1"]).training.learning_rate == 1.0
    assert read_recipe("distmap_tiny", ["steps=1", "steps=2"]).training.steps == 2


def test_no_key_stands_in_two_sections() -> None:
    recipe = read_recipe("distmap")
    keys = [key for section in (recipe.family, recipe.training, recipe.data) for key in vars(section)]
    assert len(keys) == len(set(keys))


def test_all_mistakes_are_told_together(tmp_path: Path) -> None:
    text = """
        [family]
        name = "distmap"
        widht = 32
        n_blocks = "many"
        [trainning]
        steps = 1
        [training]
        steps = 5.5
        schedule = "cosin"
        compile = 1
        betas = [0.9]
    """
    told = mistakes(write(tmp_path, text), ["validate_evry=3", "batch"])
    assert "8 mistakes" in told or "9 mistakes" in told
    for part in (
        "family.widht: no such key (did you mean family.width?)",
        "family.n_blocks: found 'many'; allowed: a whole number",
        "trainning: no such section (did you mean training?)",
        "training.steps: found 5.5; allowed: a whole number",
        "training.schedule: found 'cosin'; allowed: constant, linear, cosine (did you mean cosine?)",
        "training.compile: found 1; allowed: true or false",
        "training.betas: found [0.9]; allowed: a list of 2",
        "validate_evry: no such key (did you mean validate_every?)",
        "'batch' is no key=value",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["steps=0"], "one of them above 0"),
        (["epochs=2"], "one of them above 0"),
        (["batch=0"], "training.batch: is 0; allowed: 1 or more"),
        (["learning_rate=nan"], "training.learning_rate: is nan"),
        (["ema_decay=1.0"], "training.ema_decay: is 1.0"),
        (["betas=[0.9, 1.5]"], "training.betas"),
        (["seed=-1"], "training.seed: is -1; allowed: 0 or more"),
        (["data.steps=3"], "data.steps: no such key"),
        (["mode=papr"], "family.mode"),
        (["family.n_blocks=0"], "family.n_blocks"),
        (["smallest_sigma=20.0"], "family.smallest_sigma"),
    ],
)
def test_values_that_make_no_sense_are_told(overrides: list[str], words: str) -> None:
    assert words in mistakes("distmap_tiny", overrides)


def test_a_file_that_is_no_recipe_is_told(tmp_path: Path) -> None:
    assert "is no TOML" in mistakes(write(tmp_path, "[family\nname="))
    assert "is no TOML" in mistakes(_binary(tmp_path))
    assert "None is no family" in mistakes(write(tmp_path, "[training]\nsteps = 3"))
    assert "'distmpa' is no family (did you mean distmap?)" in mistakes(write(tmp_path, '[family]\nname = "distmpa"'))
    assert "no such recipe (did you mean distmap?)" in mistakes("distmpa")
    assert "write [training]" in mistakes(write(tmp_path, 'training = 3\n[family]\nname = "distmap"'))


def _binary(folder: Path) -> Path:
    path = folder / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    return path


def test_the_default_training_asks_for_a_length() -> None:
    assert [key for key, _, _ in TrainingRecipe().problems()] == ["steps"]
    assert list(TrainingRecipe(steps=3).problems()) == []
    assert Recipe.__dataclass_params__.frozen
