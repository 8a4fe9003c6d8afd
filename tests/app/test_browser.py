"""The whole way in a real browser: build, search, watch, refresh, restart the app, chat."""

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from manticore.runs import runs
from tests.app.zoo import make_zoo
from tests.browsing import (
    IN_A_BROWSER,
    PATIENCE,
    barriers,
    chromium,
    free_port,
    wait_for_server,
)
from tests.tiny import TEXT
from tests.tiny_runs import PROGRAMMED

pytest.importorskip("playwright.sync_api", reason="needs the package playwright")

pytestmark = IN_A_BROWSER


class App:
    """The real app in a process of its own."""

    def __init__(self, root, zoo, port):
        self.root, self.zoo, self.port = root, zoo, port
        self.url = f"http://127.0.0.1:{port}/"
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "app.main", "--port", str(self.port)),
                *("--runs-root", self.root, "--texts", self.root.parent),
            ],
            env={**os.environ, "MANTICORE_ZOO": str(self.zoo), "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        wait_for_server(self.process, self.url)

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def running_app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    app = App(folder / "runs", make_zoo(folder / "zoo"), free_port())
    yield app
    app.kill()


@pytest.fixture
def app(running_app):
    """The app, whose runs are gone after the test."""
    yield running_app
    for run in runs(running_app.root):
        run.kill()
    shutil.rmtree(running_app.root, ignore_errors=True)


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser):
    """A page of a reader who has been shown around, and has no run yet."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.add_init_script("localStorage.setItem('manticore-walk', 'seen')")
    page.set_default_timeout(PATIENCE)
    yield page
    context.close()


def shares(page, tab=""):
    """The heatmap's numbers, as the reader sees them."""
    return page.locator(f"#{tab}mixture-now .annotation-text").all_text_contents()


def test_build_search_watch_refresh_and_chat(app, page):
    text = app.root.parent / "text.txt"
    text.write_text("\n\n".join(TEXT * 80))
    page.goto(app.url)
    page.get_by_role("tab", name="Build and search").wait_for()
    page.locator("#cards .card").nth(1).wait_for()

    # Who is here for the first time is shown around, and once is enough.
    visitor = page.context.browser.new_page()
    visitor.goto(app.url)
    visitor.locator(".manticore-walk", has_text="Pick components").wait_for()
    visitor.get_by_role("button", name="Next", exact=True).click()
    visitor.locator(".manticore-walk", has_text="Look at a hybrid").wait_for()
    assert barriers(visitor) == []
    visitor.keyboard.press("Escape")
    visitor.reload()
    visitor.get_by_role("button", name="Start here").wait_for()
    assert visitor.locator(".manticore-walk").count() == 0
    visitor.close()

    page.locator("#text input").fill(str(text))
    page.locator("#text input").press("Enter")
    page.locator("#steps input[type=number]").fill("200")
    page.get_by_text("Advanced").click()
    page.get_by_label("Tokens per sequence").first.fill("16")
    page.get_by_label("Mixture learning rate").fill("0.3")
    page.get_by_label("Mixture learning rate").press("Tab")
    page.locator("#start").click()

    # It starts, the address tells which run it is, and the picture moves.
    page.wait_for_url("**run=*")
    page.locator('.status[data-state="running"]').wait_for()
    page.locator("#mixture-now .annotation-text").first.wait_for()
    page.locator("#mixture .js-plotly-plot").wait_for()
    page.locator("#probe .colored-text").get_by_text("tiny-mamba").wait_for()
    before = shares(page)
    assert len(before) == 8, "four blocks of two components"
    deadline = time.monotonic() + PATIENCE / 1000
    while shares(page) == before:
        assert time.monotonic() < deadline, "the mixture weights did not move"
        page.wait_for_timeout(200)
    (run,) = runs(app.root)
    assert run.id in page.url

    # A refresh, and the death of the app, change nothing.
    page.reload()
    page.locator(f'.status[data-run="{run.id}"]').wait_for()
    app.kill()
    # An open page reconnects and reloads by itself, which would cut into the next navigation.
    page.goto("about:blank")
    app.start()
    page.goto(f"{app.url}?run={run.id}")
    page.locator(f'.status[data-run="{run.id}"]').wait_for()
    page.locator('.status[data-state="done"]').wait_for()
    page.locator("#outcome .bartext").first.wait_for()
    page.locator("#probe").get_by_text("Held-out text at step 200").wait_for()
    assert "block 4: " in page.locator("#probe p span[title]").first.get_attribute("title")

    # A second browser sees its figures as well.
    other = page.context.browser.new_page()
    other.set_default_timeout(PATIENCE)
    other.goto(f"{app.url}?run={run.id}")
    other.locator("#outcome .bartext").first.wait_for()
    other.close()

    # What follows is one click away, and the same search can be changed and started again.
    page.locator("#after-search").get_by_role("button", name="Evaluate").wait_for()
    page.locator("#steps input[type=number]").fill("30")
    page.locator("#steps input[type=number]").press("Tab")
    page.locator("#search-again").click()
    page.wait_for_function(
        "() => document.querySelector('#steps input[type=number]').value === '200'"
    )

    # The diagram is mixed by hand: by the keyboard, by dragging, and back.
    page.locator("#diagram .now", has_text="perplexity as found").wait_for()
    second = page.get_by_role("slider", name="Mixture weights of block 2")
    second.press("ArrowDown")
    page.locator("#diagram .now", has_text="mixed by hand").wait_for()
    page.get_by_label("all blocks together").check()
    place = second.bounding_box()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] - 200, steps=5)
    page.mouse.up()
    page.locator("#diagram .told", has_text="This is exactly tiny-").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Back to what was found").click()
    page.locator("#diagram .now", has_text="perplexity as found").wait_for()

    # All mixtures at a glance, measured in the background; a click on one is shown by the diagram.
    page.get_by_role("tab", name="Mix").click()
    page.wait_for_url("**tab=mix*")
    page.locator("#landscape .told", has_text="The lowest is").wait_for()
    page.locator("#landscape .chart.large circle.point").nth(10).wait_for()
    page.locator("#landscape").get_by_role("slider").first.press("Home")
    page.locator("#diagram .told", has_text="This is exactly tiny-mamba").wait_for()
    page.locator("#diagram .found.waiting").wait_for(state="detached")
    assert barriers(page) == []
    page.get_by_role("button", name="Back to what was found").click()
    page.locator("#mix-prompt").locator("input, textarea").fill("The fox")
    page.locator("#mix-prompt").locator("input, textarea").press("Tab")
    page.locator("#diagram .written", has_text="The fox").wait_for()

    # The run is listed, exported, deleted and brought back.
    page.get_by_role("tab", name="Runs").click()
    row = page.locator("#runs-table span", has_text="tiny-mamba + tiny-neox")
    page.locator("#runs-filter").locator("input, textarea").fill("mamba nothing-like-it")
    row.wait_for(state="detached")
    page.locator("#runs-filter").locator("input, textarea").fill("MAMBA done")
    row.first.wait_for()
    assert barriers(page) == []
    page.locator("#runs-name").locator("input, textarea").fill("The <b>fox</b>")
    page.locator("#runs-save").click()
    page.locator("#runs-table span", has_text="The <b>fox</b>: tiny-").first.wait_for()
    page.locator("#runs-export").click()
    with page.expect_download() as download:
        page.locator("#runs-download").click()
    exported = app.root.parent / "exported.zip"
    download.value.save_as(exported)
    with zipfile.ZipFile(exported) as archive:
        assert f"{run.id}/hybrid/model.safetensors" in archive.namelist()
    page.locator("#runs-delete").click()
    page.locator("#runs-undo").click()
    row.first.click()
    page.wait_for_url(f"**run={run.id}*")

    # It is imported again, and compared with the original.
    with page.expect_file_chooser() as chooser:
        page.locator("#runs-import").click()
    chooser.value.set_files(exported)
    page.wait_for_url(lambda url: run.id not in url)
    page.get_by_text("Compare runs").click()
    page.locator("#compare-runs .token").wait_for()
    page.locator("#compare-runs input").press("ArrowDown")
    page.locator("#compare-runs").get_by_role("option", selected=False).click()
    page.locator("#compare-table th", has_text="held-out perplexity").wait_for()

    # The chat: a beginning to choose, who wrote which word, the components alone, an edit.
    page.get_by_role("tab", name="Chat").click()
    assert barriers(page) == []
    page.locator("#chat-how").get_by_text("continues the text").wait_for()
    page.locator("#send").click()
    page.get_by_text("The message is empty").wait_for()
    page.get_by_label("Compare with the components").check()
    page.locator("#chat button", has_text="Once upon a time").click()
    page.locator("#chat-words .word").nth(3).hover()
    page.locator("#chat-words .card", has_text="Other likely words").nth(3).wait_for()
    page.locator("#chat-columns section", has_text="tiny-mamba alone").wait_for()
    # Each answer has a seed of its own: what is told of the next one differs.
    before = page.locator("#chat-status", has_text="Done").inner_text()
    page.locator("#chat").get_by_label("Edit").click()
    page.locator("#chat textarea").fill("A fox <b>had</b> ${1+1} {{value}}")
    page.locator("#chat").get_by_label("Submit").click()
    # Gradio shows harmless tags as such; nothing else of a text means anything to the page.
    page.locator("#chat .user", has_text="A fox had ${1+1} {{value}}").wait_for()
    page.wait_for_function(
        "(before) => ((now) => now.includes('Done') && now !== before)("
        "document.querySelector('#chat-status').innerText)",
        arg=before,
    )
    page.locator("#chat").get_by_role("button", name="Undo", exact=True).click()
    page.locator("#chat-words .word").first.wait_for(state="detached")
    assert page.locator("#message textarea").input_value().startswith("A fox")


def test_stop_resume_and_a_mistake(app, page):
    text = app.root.parent / "text.txt"
    text.write_text("\n\n".join(TEXT * 80))
    page.goto(app.url)
    page.locator("#cards .card").nth(1).wait_for()

    page.locator("#components input").fill("zoo:tiny-nix")
    page.locator("#components input").press("Enter")
    page.locator("#cards .card").nth(2).wait_for()
    page.locator("#start").click()
    page.get_by_text("Did you mean 'tiny-neox'").first.wait_for()
    assert runs(app.root) == []
    page.locator("#components input").press("Backspace")
    page.locator("#cards .card").nth(2).wait_for(state="detached")

    page.locator("#text input").fill(str(text))
    page.locator("#text input").press("Enter")
    page.get_by_text("Advanced").click()
    page.get_by_label("Tokens per sequence").first.fill("16")
    page.get_by_label("Tokens per sequence").first.press("Tab")
    page.locator("#start").press("Enter")
    page.locator('.status[data-state="running"] >> text=/step/').wait_for()
    page.locator("#stop").press("Enter")
    page.locator('.status[data-state="stopped"]').wait_for()
    page.locator("#resume").click()
    page.locator('.status[data-state="running"]').wait_for()

    page.goto(f"{app.url}?run=../../etc")
    page.get_by_text("There is no such run here").first.wait_for()


def test_program_by_skill_watch_refresh_and_go_on(app, page):
    page.goto(app.url)
    page.get_by_role("tab", name="Program").click()
    page.locator("#program-cards .card").nth(1).wait_for()
    skills = {task: page.locator(f"#skill-{task} input[type=number]") for task in PROGRAMMED}
    for skill in skills.values():
        skill.fill("0")
        skill.press("Tab")
    page.locator("#program").click()
    page.get_by_text("No task is chosen").first.wait_for()
    assert runs(app.root) == []
    for skill in skills.values():
        skill.fill("0.5")
        skill.press("Tab")
    page.locator("#program-top").get_by_text("More", exact=True).click()
    page.locator("#program-steps input[type=number]").fill("20")
    page.locator("#program-steps input[type=number]").press("Tab")
    page.locator("#program-estimate summary", has_text="About").wait_for()
    page.locator("#program").click()

    # It starts, and a refresh finds it on its tab again.
    page.wait_for_url("**run=*")
    page.locator("#program-status .status[data-run]").wait_for()
    page.reload()
    page.locator('#program-status .status[data-state="done"]').wait_for()
    page.locator("#program-outcome .bartext").nth(1).wait_for()
    page.locator("#program-mixture").get_by_text("combined").first.wait_for()
    (run,) = runs(app.root)
    combined = run.metrics()["mixture_weights"]
    columns = [f"{weight:.2f}" for row in combined for weight in row]
    assert sorted(shares(page, "program-")) == sorted(columns)

    # Moving a skill changes the mixture weights at once, here and in the diagram; they are kept.
    before = page.locator("#program-picture").inner_text()
    skills[PROGRAMMED[1]].fill("0")
    skills[PROGRAMMED[1]].press("Tab")
    page.wait_for_function(
        "before => document.querySelector('#program-picture').innerText !== before", arg=before
    )
    page.locator("#diagram button.back:enabled").wait_for()
    page.locator("#keep:enabled").click()
    page.wait_for_url(lambda url: run.id not in url)
    kept = runs(app.root)[0]
    found = run.metrics()["tasks"][PROGRAMMED[0]]["mixture_weights"]
    assert kept.metrics()["mixture_weights"] == [pytest.approx(row) for row in found]

    # The next step is a button, which shows the new run on its own tab.
    page.locator("#finetune").click()
    page.locator("#status .status[data-run]").wait_for()
    assert runs(app.root)[0].config.stage == "finetune"
