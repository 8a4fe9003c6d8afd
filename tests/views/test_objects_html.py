"""What components, texts, recipes and runs show of themselves, and what stays of a figure."""

import re
from xml.etree import ElementTree

import pytest

import manticore as mc
from manticore.views.still import mixture_svg, of_last_task
from tests.tiny import TEXT, save_component
from tests.tiny_runs import programming_run


def words_of(markup: str) -> str:
    return re.sub("<[^>]*>", " ", markup)


def test_a_component_tells_its_family_and_size(tmp_path) -> None:
    folder = save_component(tmp_path / "<small>", "gpt_neox", width=32, layers=3)
    component = mc.load_component(str(folder))
    assert "gpt_neox" in repr(component)
    assert "3 layers of width 32" in repr(component)
    assert "\n" not in repr(component)
    shown = component._repr_html_()
    assert "<small>" not in shown
    assert "GPT-NeoX" in words_of(shown)
    assert "knows" not in words_of(shown)


def test_a_text_tells_its_size_and_how_it_begins(tmp_path, component) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(TEXT * 80))
    tokenizer = mc.load_component(component("gpt_neox")).tokenizer
    data = mc.load_text(text, tokenizer=tokenizer, seq_len=32)
    shown = words_of(data._repr_html_())
    assert f"{data.n_tokens:,} tokens" in shown
    assert f"{len(data.valid)} sequence" in shown
    assert data.beginning(8)[:10] in shown
    streamed = mc.load_text(text, tokenizer=tokenizer, seq_len=32, streaming=True)
    assert "read as they are needed" in words_of(streamed._repr_html_())


def test_a_recipe_tells_its_stages() -> None:
    recipe = mc.Recipe.from_yaml("bilingual")
    assert str(recipe) == repr(recipe)
    assert "\n" not in repr(recipe)
    shown = words_of(recipe._repr_html_())
    for stage in recipe.stages:
        assert stage in shown
    assert "steps = 200" in shown


@pytest.mark.parametrize("n", [1, 2, 500])
def test_mixture_weights_are_a_picture_that_needs_no_script(n: int) -> None:
    events = [
        {
            "kind": "mixture",
            "step": step,
            "weights": [[0.25, 0.75], [step / n, 1 - step / n]],
            "components": ["<a>", "b"],
        }
        for step in range(n)
    ]
    picture = ElementTree.fromstring(mixture_svg(events))
    name = "{http://www.w3.org/2000/svg}"
    areas = picture.findall(f"{name}polygon")
    assert len(areas) == 4
    said = picture.find(f"{name}title").text
    assert f"at step {n - 1}" in said
    assert "block 1: <a> 25%, b 75%" in said
    points = [tuple(map(float, point.split(","))) for point in areas[0].get("points").split()]
    assert len(points) <= 2 * 121
    heights = {round(y, 1) for _, y in points}
    assert len(heights) == 2, "a weight that does not move is a straight band"


def test_without_mixture_weights_there_is_no_picture() -> None:
    assert mixture_svg([]) == ""


def test_a_run_tells_its_state_and_the_way_of_its_mixture_weights(tmp_path) -> None:
    run = programming_run(tmp_path)
    shown = run._repr_html_()
    assert run.id in shown
    assert run.status.state in words_of(shown)
    assert "<svg" in shown
    of_task = of_last_task(run.events())
    assert {event.get("task") for event in of_task} == {of_task[-1].get("task")}
    assert len(of_task) < sum(event["kind"] == "mixture" for event in run.events())
