"""The page's parts without a browser: what the form means, what is said, what is trusted."""

import json
import re

import gradio as gr
import pytest
from gradio.blocks import postprocess_update_dict

from app import run_panel, search_tab
from app.after_search import settings_of
from app.cards import cards_html
from app.hybrid_form import strategy_choices
from app.looks import Looks
from app.open_runs import OpenRuns
from app.presets import PRESETS, filled, usable_presets
from app.shared import Shared
from app.status import sample_html, status_html
from app.tabs import TABS, tab_for
from app.texts import Texts
from manticore.names import STAGES, STRATEGIES
from manticore.runs import Run, RunConfig
from manticore.runs.launch import make_run_folder
from manticore.store.events import EventWriter
from manticore.store.status import write_status
from manticore.views import catalogue
from manticore.views.wording import duration, explain
from tests.app.zoo import make_zoo

FORM = {
    "components": ["zoo:tiny-neox", "zoo:tiny-mamba"],
    "n_blocks": 2,
    "text": "bundled:stories-en",
    "steps": 20,
    "strategy": "darts",
    "projector": "linear",
    "projector_init": "identity",
    "name": None,
    "seq_len": 32,
    "batch_size": 4,
    "mixture_lr": 0,
    "projector_lr": 1e-3,
    "component_lr": 0,
    "router_threshold": 0.2,
    "head": "mixed",
    "seed": 0,
}


@pytest.fixture(autouse=True)
def _zoo(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MANTICORE_ZOO", str(make_zoo(tmp_path_factory.getbasetemp() / "zoo")))


def config_from(**form):
    return search_tab.config_from(Texts(), **form)


def draw(run, before):
    return run_panel.draw(run, before, search_tab.VIEW, lambda stage: tab_for(stage).title)


def figure_of(update):
    return json.loads(update["value"].plot)


@pytest.fixture
def run_id(tmp_path):
    config = config_from(**FORM)
    folder = make_run_folder(config, root=tmp_path)
    write_status(folder, "stopped")
    return folder.name


def test_the_form_becomes_a_run():
    config = config_from(**FORM)
    assert isinstance(config, RunConfig)
    assert config.data == {"source": "bundled:stories-en", "seq_len": 32}
    assert config.options.component_lr == 0
    assert 1 <= config.options.checkpoint_every <= 5


def test_every_strategy_of_the_list_is_one():
    assert {value for _, value in strategy_choices()} == set(STRATEGIES)
    for strategy in STRATEGIES:
        assert config_from(**{**FORM, "strategy": strategy}).options.strategy == strategy
    routed = config_from(**{**FORM, "strategy": "routed"}).options
    assert routed.router.threshold == 0.2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"components": ["zoo:tiny-nex"]}, "tiny-neox"),
        ({"components": []}, "components"),
        ({"components": ["a", "b", "c", "d", "e"]}, "at most 4"),
        ({"n_blocks": 5}, "shallowest component has 4"),
        ({"mixture_lr": -1}, "options.mixture_lr"),
        ({"strategy": "probe", "mixture_lr": 0.5}, "'probe' does not use mixture_lr"),
        ({"seed": None}, "seed"),
        ({"text": "no/such/file.txt"}, "There is no text of this name. This page reads only"),
        ({"text": "bundled:poems"}, "Unknown bundled text 'poems'"),
        ({"text": "Once upon a time\nthere was a fox."}, "Save it as a .txt file"),
        ({"text": "word " * 1000}, "Save it as a .txt file"),
        ({"name": "x" * 200}, "name"),
    ],
)
def test_what_is_impossible_is_said_in_words(change, says):
    with pytest.raises((ValueError, LookupError, OSError)) as error:
        config_from(**{**FORM, **change})
    assert re.search(says, explain(error.value))


@pytest.mark.parametrize("run_id", [None, "", "../x", "/etc", "a\0b", "nope", "A" * 200])
def test_a_run_from_the_address_bar_is_not_trusted(run_id, tmp_path):
    (tmp_path.parent / "x").mkdir(exist_ok=True)
    assert OpenRuns(tmp_path).find(run_id) is None


def test_runs_are_offered_newest_first(tmp_path, run_id):
    newer = make_run_folder(config_from(**{**FORM, "name": "Later"}), root=tmp_path).name
    choices = OpenRuns(tmp_path).choices()
    assert [value for _, value in choices] == [newer, run_id]
    assert choices[0][0].startswith("Later · search · 2 blocks")
    assert choices[1][0].startswith("tiny-neox + tiny-mamba · search")
    made_by_a_recipe = {"search": "tiny-neox + tiny-mamba", "bilingual search": "bilingual"}
    for name, shown in made_by_a_recipe.items():
        make_run_folder(config_from(**{**FORM, "name": name}), root=tmp_path)
        assert OpenRuns(tmp_path).choices()[0][0].startswith(f"{shown} · search")


def test_a_look_draws_what_is_new_and_only_that(tmp_path, run_id):
    opened = OpenRuns(tmp_path)
    drawn = draw(opened.find(run_id), None)
    assert "stopped" in drawn[0]
    again = draw(opened.find(run_id), drawn[-1])
    assert isinstance(again, dict), "Gradio's word for nothing new"
    with EventWriter(tmp_path / run_id) as events:
        events.emit("stage", name="search", total_steps=20)
        events.emit("step", step=7, loss=None, lr=0.1, tokens_per_s=1234.5)
        events.emit("mixture", step=7, weights=[[0.4, 0.6]] * 2, components=["a", "b"])
    drawn = draw(opened.find(run_id), drawn[-1])
    assert "7 of 20" in drawn[0]
    assert "not finite" in drawn[0]
    assert "1,23" in drawn[0]
    assert not drawn[1]["visible"], "a static run has no colored text"
    assert figure_of(drawn[2])["layout"]["uirevision"] == run_id


def test_all_who_look_are_sent_the_figures(tmp_path, run_id):
    pictures = Shared(run_panel.picture_of, fresh_for=3600)
    view, run = search_tab.VIEW, OpenRuns(tmp_path).find(run_id)
    for _ in range(2):
        drawn = run_panel.draw(run, None, view, str, pictures=pictures)
        assert postprocess_update_dict(gr.Plot(), drawn[2])["value"]["plot"]


def test_another_run_redraws_everything(tmp_path, run_id):
    other = make_run_folder(config_from(**FORM), root=tmp_path)
    write_status(other, "stopped")
    opened = OpenRuns(tmp_path)
    seen = draw(opened.find(run_id), None)[-1]
    assert figure_of(draw(opened.find(other.name), seen)[2])["layout"]["uirevision"] == other.name
    assert "No run yet" in draw(None, seen)[0]


def test_a_tab_is_looked_at_only_while_it_is_seen():
    looks = Looks("first")
    with gr.Blocks():
        looks.noticed(1, str, [])  # above the tabs, always
        with gr.Tabs():
            for name in ("first", "second"):
                with gr.Tab(name, id=name) as tab, looks.within(tab):
                    looks.noticed(1, str, [])
    assert [timer.active for timer in looks.timers] == [True, False]
    assert [timer.active for timer in looks.seen({"tab": "second"})] == [False, True]
    for told in (None, {}, {"tab": "no such tab"}):
        assert [timer.active for timer in looks.seen(told)] == [True, True]


@pytest.mark.parametrize(
    ("state", "shown"),
    [("running", [0]), ("stopping", [1]), ("stopped", [2]), ("died", [2]), ("done", [])],
)
def test_each_state_has_its_button(tmp_path, run_id, monkeypatch, state, shown):
    """Stop, End now and Resume."""
    run = OpenRuns(tmp_path).find(run_id)
    row = run.summary() | {"state": state}
    monkeypatch.setattr(Run, "summary", lambda self: row)
    drawn = draw(run, None)
    assert [i for i, button in enumerate(drawn[-4:-1]) if button.visible] == shown
    assert ("stopping as soon as it can" in drawn[0]) == (state == "stopping")


def test_no_warning_is_lost():
    row = {"id": "a-1", "stage": "search", "state": "done", "message": "", "step": 2, "loss": 1.0}
    row |= {"total_steps": 2, "task": None, "tokens_per_s": None, "eta_s": None, "remedy": None}
    shown = status_html(row, [f"sign {i}" for i in range(6)])
    assert all(f"sign {i}" in shown for i in range(6))
    assert "<summary>3 earlier warnings</summary>" in shown


def test_nothing_from_a_run_reaches_the_page_as_markup():
    row = {
        "id": "a-1",
        "stage": "program",
        "state": "failed",
        "message": "<script>x</script>",
        "remedy": "<b>",
        "step": 1,
        "total_steps": 2,
        "task": "<em>",
        "loss": 1.0,
        "tokens_per_s": 2.0,
        "eta_s": None,
    }
    shown = status_html(row, ["<i>w</i>"]) + cards_html(["<img src=x>", "zoo:<u>"])
    shown += sample_html({"step": 1, "prompt": "<p>", "text": "<p><script>"})
    for tag in ("<script>", "<img", "<i>w", "<u>", "<em>"):
        assert tag not in shown
    assert "&lt;script&gt;" in shown


def test_every_text_to_choose_can_be_opened():
    texts = [source for _, source in catalogue.TEXTS]
    assert [Texts().source(source) for source in texts] == texts
    assert "bundled:python" in texts


def test_cards_say_in_words_what_each_component_knows(monkeypatch):
    monkeypatch.delenv("MANTICORE_ZOO")
    knows = {
        "zoo:tales-neox": "Knows English stories. Does not know Spanish stories or Python code.",
        "zoo:novelas-mamba": "Knows Spanish stories. Does not know English stories or Python code.",
        "zoo:stdlib-llama": "Knows Python code. Does not know English stories or Spanish stories.",
    }
    shown = cards_html(list(knows))
    for words in knows.values():
        assert words in shown
    assert shown.count('aria-pressed="true"') == 3
    assert shown.count('aria-pressed="false"') == len(catalogue.component_choices()) - 3
    assert "in layers 1, 3." in cards_html(["zoo:tales-neox?damaged=0,2&seed=1"])
    assert "context of 1,024 tokens" in shown
    assert "Held-out perplexity: English stories 1.69" in shown
    assert "&lt;img" in cards_html(["<img src=x>"])


def test_every_preset_is_a_run_that_can_be_started(monkeypatch):
    monkeypatch.delenv("MANTICORE_ZOO")
    defaults = {**FORM, "n_blocks": 4}
    assert usable_presets() == PRESETS
    for preset in PRESETS:
        values = filled(preset, defaults)
        config = search_tab.config_from(Texts(), **values)
        assert config.components == preset.components
        assert config.data["source"] == preset.text
        for name, value in preset.values.items():
            assert getattr(config, name, value) == value
    monkeypatch.setenv("MANTICORE_ZOO", "/nowhere")
    assert usable_presets() == []


def test_the_settings_of_a_run_fill_the_form_in_again():
    for changes in ({}, {"strategy": "routed", "head": "mixture", "seed": 3}, {"n_blocks": 1}):
        config = config_from(**{**FORM, **changes})
        assert config_from(**settings_of(config)) == config


def test_a_click_on_a_card_chooses_and_leaves_out():
    assert catalogue.toggled(["a"], "b") == ["a", "b"]
    assert catalogue.toggled(["a", "b"], "a") == ["b"]
    with pytest.raises(ValueError, match="at most 4"):
        catalogue.toggled(["a", "b", "c", "d"], "e")


def test_every_tab_has_a_name_of_its_own_and_every_stage_a_tab():
    assert len({tab.id for tab in TABS}) == len(TABS)
    assert {tab_for(stage).id for stage in STAGES} == {"search", "program"}


def test_blocks_are_limited_by_the_shallowest_known_component():
    assert catalogue.max_blocks(["zoo:tiny-neox", "zoo:tiny-mamba"]) == 4
    assert catalogue.max_blocks(["some/hub-id"]) == catalogue.MAX_BLOCKS
    assert catalogue.max_blocks([]) == catalogue.MAX_BLOCKS


def test_durations_read_well():
    assert [duration(s) for s in (None, 7.4, 65, 3720)] == ["", "7 s", "1 min 05 s", "1 h 02 min"]
