"""A recipe is read from YAML and Python alike, and says what is wrong before anything starts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manticore.config.run import option_name
from manticore.recipes.recipe import Recipe, bundled_recipes
from manticore.views.wording import explain

GOOD = """
components: [zoo:a, zoo:b]
data: {source: text.txt, seq_len: 32}
stages:
  search: {strategy: gaea, component_lr: 1e-3}
  finetune:
    data: other.txt
    lora: {rank: 4}
  evaluate:
"""


@pytest.fixture
def read(tmp_path):
    """`read(text)`: the recipe in a file with this text."""

    def from_text(text=GOOD):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return Recipe.from_yaml(path)

    return from_text


def test_yaml_and_python_say_the_same(read):
    assert read() == Recipe(
        name="mine",
        components=["zoo:a", "zoo:b"],
        data={"source": "text.txt", "seq_len": 32},
        stages={
            "search": {"strategy": "gaea", "component_lr": 0.001},
            "finetune": {"data": "other.txt", "lora": {"rank": 4}},
            "evaluate": {},
        },
    )


def test_what_is_written_reads_the_same(read):
    recipe = read()
    assert Recipe(**recipe.model_dump(exclude_unset=True)) == recipe
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert recipe.model_dump()["stages"]["finetune"] == {
        "data": {"source": "other.txt"},
        "lora": {"rank": 4},
    }


def test_what_is_wrong_in_a_stage_is_named_with_the_stage(read):
    with pytest.raises(ValueError, match="rank") as error:
        read(GOOD.replace("rank: 4", "rank: none"))
    where = "stages.finetune.options.lora.rank is 'none': it should be a valid integer"
    assert explain(error.value).startswith(where)


def test_stages_have_their_own_options_and_text(read):
    recipe = read()
    assert recipe.stage_names == ["search", "finetune", "evaluate"]
    assert recipe.options("search").mixture_lr == 0.1
    assert recipe.options("finetune").lora.rank == 4
    assert recipe.text("search") == recipe.data
    assert (recipe.text("finetune").source, recipe.text("finetune").seq_len) == ("other.txt", 32)


def test_paths_are_those_of_the_file(read, tmp_path, monkeypatch):
    (tmp_path / "other.txt").touch()
    (tmp_path / "zoo:a").mkdir()
    monkeypatch.chdir("/")
    recipe = read()
    assert recipe.text("finetune").source == str(tmp_path / "other.txt")
    assert recipe.data.source == "text.txt"
    assert recipe.components == ("zoo:a", "zoo:b")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("components:", "component:", "Did you mean 'components'"),
        ("seq_len", "seqlen", "Did you mean 'seq_len'"),
        ("finetune:", "fine-tune:", "Did you mean 'finetune'"),
        ("component_lr", "componnt_lr", "Did you mean 'component_lr'"),
        ("strategy: gaea", "strategy: gia", "darts"),
        ("rank: 4", "rnk: 4", "rnk"),
        ("data: other.txt", "data: {sorce: x}", "Did you mean 'source'"),
        ("  evaluate:", "  pretrain-projectors:", "out of order"),
        ("  evaluate:", "  search:", 'duplicate key "search" with value "None"'),
        ("  evaluate:", "  evaluate: {steps: 3}", "steps"),
        ("  evaluate:", "  evaluate: quickly", "give its options"),
        ("stages:", "stages:\n  program: {data: x}", "needs no text"),
        ("zoo:a, zoo:b", "a, b, c, d, e", "at most 4"),
        ("seq_len: 32", "seq_len: [", "not readable as YAML"),
        ("components:", "trust_remote_code: true\ncomponents:", "no file may decide"),
        (GOOD, "- just\n- a list", "needs keys"),
        (GOOD, "", "needs keys"),
        (GOOD, "components: [a]\ndata: x\nstages: {}", "at least one stage"),
        (GOOD, "components: [!!python/object/apply:os.getcwd []]", "not readable as YAML"),
    ],
)
def test_what_is_wrong_is_named(read, old, new, says):
    assert old in GOOD
    with pytest.raises(ValueError) as error:  # noqa: PT011
        read(GOOD.replace(old, new))
    assert says in explain(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.yaml.*bundled recipe \(bilingual, twins\)"):
        Recipe.from_yaml(tmp_path / "no.yaml")


def test_other_values_by_name(read):
    options = {"search.component-lr": "1e-4", "finetune.lora.alpha": 2, "data.seq_len": 8}
    recipe = read().with_options(options | {"seed": 3, "search.data": "x.txt"})
    assert recipe.options("search").component_lr == 1e-4
    assert recipe.options("search").strategy == "gaea"
    assert (recipe.options("finetune").lora.rank, recipe.options("finetune").lora.alpha) == (4, 2)
    assert (recipe.text("search").source, recipe.text("search").seq_len) == ("x.txt", 8)
    assert recipe.seed == 3
    assert read().with_options({}) == read()


def test_a_rate_that_came_with_the_strategy_goes_with_it(read):
    assert read().with_options({"search.strategy": "darts"}).options("search").mixture_lr == 0.02
    swept = read().with_options({"search.strategy": "sweep"})
    assert swept.options("search").probe_batches == 8
    assert swept.with_options({"search.strategy": "darts"}).options("search").probe_batches == 1


def test_what_is_inside_an_option_keeps_its_hyphens():
    assert option_name("search.mixture-lr") == "search.mixture_lr"
    assert option_name("max-grad-norm") == "max_grad_norm"
    assert option_name("program.tasks.in-context-recall") == "program.tasks.in-context-recall"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("search.componnt_lr", "Did you mean 'component_lr'"),
        ("pretrain-projectors.steps", "search, finetune, evaluate"),
        ("search", "Write it like search.component_lr"),
        ("sed", "Did you mean 'seed'"),
        ("data.sorce", "Did you mean 'source'"),
        ("seed.x", "seed"),
    ],
)
def test_names_that_mean_nothing_are_refused(read, name, says):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        read().with_options({name: 1})
    assert says in explain(error.value)


@given(st.text(max_size=30))
def test_no_name_does_anything_but_work_or_be_refused(name):
    recipe = Recipe(components=["a"], data="x", stages={"search": {}})
    try:
        recipe.with_options({name: 1})
    except ValueError:
        return
    assert name.replace("-", "_").split(".")[0] in {*Recipe.model_fields, "search"}


def test_a_bundled_recipe_is_read_by_its_name_unless_there_is_such_a_file(tmp_path, monkeypatch):
    from manticore.components.zoo import zoo_names

    monkeypatch.chdir(tmp_path)
    assert bundled_recipes() == ["bilingual", "twins"]
    example = Recipe.from_yaml("bilingual")
    assert example.name == "bilingual"
    (tmp_path / "bilingual").write_text(GOOD)
    assert Recipe.from_yaml("bilingual").data.source != example.data.source
    assert {name.removeprefix("zoo:") for name in example.components} <= set(zoo_names())
    assert example.stage_names == ["pretrain-projectors", "search", "finetune", "evaluate"]
