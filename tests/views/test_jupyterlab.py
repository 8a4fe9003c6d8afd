"""`run.watch()` in a real JupyterLab, as a reader sees it: lines that move, and what is saved."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from manticore.runs import RunConfig
from manticore.runs.launch import make_run_folder
from manticore.store.events import EventWriter
from manticore.store.status import write_status
from manticore.views.notebook.outputs import MIMETYPE
from tests.app.zoo import make_zoo
from tests.browsing import IN_A_BROWSER, PATIENCE, chromium, free_port, wait_for_server
from tests.tiny import save_component

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
pytest.importorskip("jupyterlab", reason="needs the package jupyterlab")

pytestmark = IN_A_BROWSER
ROOT = Path(__file__).resolve().parents[2]
LIVE = ".manticore-run"
WIDGET = "application/vnd.jupyter.widget-view+json"


class Lab:
    """A JupyterLab over a folder of its own, where tiny components stand for the bundled ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        settings = folder / "settings"
        jupyter = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
        lab = ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                f"--port={self.url.rpartition(':')[2]}",
                "--IdentityProvider.token=",
                "--ServerApp.disable_check_xsrf=True",
                f"--ServerApp.root_dir={folder}",
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                # It would find the type checker of the tests, and let it read the whole project.
                "--LanguageServerManager.autodetect=False",
            ],
            env={
                **os.environ,
                **{name: str(settings / name) for name in (*jupyter, *lab)},
                "MANTICORE_CACHE": str(folder / "cache"),
                "MANTICORE_RUNS": str(folder / "runs"),
                "MANTICORE_ZOO": str(folder / "zoo"),
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": str(ROOT),
            },
            start_new_session=True,
        )
        wait_for_server(self.process, f"{self.url}/api")

    def _sessions(self) -> list[dict]:
        with urllib.request.urlopen(f"{self.url}/api/sessions") as answer:
            return json.load(answer)

    def has_kernel(self, notebook: str) -> bool:
        """Whether a page has an idle kernel for a notebook. It calls itself idle before it has."""
        kernels = [session["kernel"] for session in self._sessions() if session["path"] == notebook]
        return any(k["connections"] and k["execution_state"] == "idle" for k in kernels)

    def end_kernels(self) -> None:
        """End all kernels: what their widgets have shown is gone."""
        for session in self._sessions():
            address = f"{self.url}/api/sessions/{session['id']}"
            urllib.request.urlopen(urllib.request.Request(address, method="DELETE")).close()

    def restart_kernel(self, notebook: str) -> None:
        """Begin with a new kernel, which knows nothing of the one before."""
        (kernel,) = [s["kernel"]["id"] for s in self._sessions() if s["path"] == notebook]
        address = f"{self.url}/api/kernels/{kernel}/restart"
        urllib.request.urlopen(urllib.request.Request(address, method="POST")).close()

    def kill(self) -> None:
        """End it, its kernels and their runs."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.kill()


@pytest.fixture
def page() -> Iterator["playwright.Page"]:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1300, "height": 1800})
        page.set_default_timeout(PATIENCE)
        yield page


class Notebook:
    """A notebook that is open in a browser."""

    def __init__(self, lab: Lab, page: "playwright.Page", name: str, *cells: str) -> None:
        self.lab, self.page, self.path = lab, page, lab.folder / name
        self.url = f"{lab.url}/lab/workspaces/{self.path.stem}/tree/{name}"
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(code) for code in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(notebook, self.path)
        self.open()

    def open(self) -> None:
        """Open it, or load its page again, and wait until its kernel listens."""
        self.page.goto(self.url)
        self.page.locator(".jp-CodeCell .cm-content").first.wait_for()
        while not self.lab.has_kernel(self.path.name):
            self.page.wait_for_timeout(200)

    def run_cell(self, index: int) -> None:
        """Run a cell, without waiting for its end.

        A click misses where an output above grew meanwhile: the cell's number tells.
        """
        cell = self.page.locator(".jp-CodeCell").nth(index)
        number = cell.locator(".jp-InputPrompt")
        before = number.inner_text()
        while number.inner_text() == before:
            cell.locator(".cm-content").click()
            self.page.keyboard.press("Shift+Enter")
            self.page.wait_for_timeout(1000)

    def saved_kinds(self) -> list[set[str]]:
        """Save it, and tell the MIME types of its outputs."""
        before = self.path.stat().st_mtime_ns
        self.page.keyboard.press("Control+s")
        while self.path.stat().st_mtime_ns == before:
            self.page.wait_for_timeout(100)
        while not (text := self.path.read_text(encoding="utf-8")).endswith("}\n"):
            self.page.wait_for_timeout(100)
        cells = nbformat.reads(text, as_version=4).cells
        return [{*output.get("data", {})} for cell in cells for output in cell.outputs]


def readme_example(steps: int) -> str:
    """The README's Python example that watches a run, with fewer steps and stories."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    blocks += re.findall(r"(?:^(?: {4}.*)?\n)+", text, re.MULTILINE)
    (code,) = [textwrap.dedent(block) for block in blocks if "run.watch()" in block]
    code = code.replace("bundled:stories-mixed", "bundled:stories-mixed?n_stories=300")
    return re.sub(r"steps=\d+", f"steps={steps}", code).strip()


def make_components(folder: Path, code: str) -> None:
    """Tiny components under the names of those that `code` builds a hybrid from."""
    for k, name in enumerate(re.findall(r"zoo:([\w-]+)", code)):
        family, width = (("gpt_neox", 32), ("mamba", 24))[k]
        save_component(folder / name, family, width=width, layers=4)
        (folder / name / "card.json").write_text("{}")


def test_the_example_of_the_readme_moves_and_stays(lab: Lab, page: "playwright.Page") -> None:
    example = readme_example(steps=80)
    make_components(lab.folder / "zoo", example)
    notebook = Notebook(lab, page, "example.ipynb", example)
    notebook.run_cell(0)

    # While the cell is running: areas and a line are drawn, and numbers move.
    live = page.locator(LIVE)
    live.locator("[data-panel=mixture] .js-fill").nth(7).wait_for(state="attached")
    live.locator("[data-panel=loss] .js-line").first.wait_for(state="attached")
    live.locator("[data-panel=outcome] .bars .point").nth(2).wait_for()
    weights = live.locator("[data-panel=mixture-now] .annotation-text")
    assert weights.count() == 8
    seen = []
    while status := live.locator(".status").all_inner_texts():
        seen.append((status[0], tuple(weights.all_text_contents())))
        page.wait_for_timeout(200)
    steps = [int(step) for status, _ in seen for step in re.findall(r"step (\d+) of 80", status)]
    assert steps == sorted(steps)
    assert len(set(steps)) > 2
    assert len({shown for _, shown in seen}) > 2

    # At the end plain figures stand there, to each of which JupyterLab adds an image.
    page.locator(".jp-RenderedPlotly .barlayer .point").nth(2).wait_for()
    while notebook.saved_kinds().count({MIMETYPE, "image/png"}) < 4:
        page.wait_for_timeout(200)
    # They are still there for those who open the notebook without the kernel that drew them.
    lab.end_kernels()
    notebook.open()
    images = page.locator(".jp-RenderedPlotly img")
    images.nth(3).wait_for()
    assert images.evaluate_all("images => images.every((image) => image.naturalWidth > 300)")
    assert page.get_by_text("step 80 of 80").count() == 1


def test_a_page_that_is_reloaded_and_a_cell_that_is_run_again_show_the_run(
    lab: Lab, page: "playwright.Page"
) -> None:
    config = RunConfig(components=["a", "b"], n_blocks=1, data={"source": "x"})
    folder = make_run_folder(config, root=lab.folder / "runs")
    write_status(folder, "running")
    with EventWriter(folder) as events:

        def step(number: int) -> None:
            events.emit("step", step=number, loss=3.0, lr={}, tokens_per_s=9.0, eta_s=1.0)

        events.emit("stage", name="search", total_steps=9)
        step(1)
        watching = f"import manticore as mc; mc.get_run({folder.name!r}).watch()"
        notebook = Notebook(lab, page, "again.ipynb", watching, watching)
        notebook.run_cell(0)
        status = page.locator(f"{LIVE} .status")
        status.get_by_text("step 1 of 9").wait_for()
        assert {WIDGET, "text/plain"} in notebook.saved_kinds()
        notebook.open()
        step(2)
        status.get_by_text("step 2 of 9").wait_for()
        notebook.run_cell(0)
        step(3)
        status.get_by_text("step 3 of 9").wait_for()
        assert page.locator(LIVE).count() == 1
        assert page.locator(f"{LIVE} [data-panel=loss] .scatterlayer .trace").count() == 2
        assert page.locator(f"{LIVE} [data-panel=probe]").is_hidden()
        weights = {"weights": [[[0.75, 0.25]]], "components": ["a", "b"]}
        events.emit("probe", step=3, tokens=["<Once>"], starts=[0], **weights)
        word = page.locator(f"{LIVE} [data-panel=probe] p span")
        word.get_by_text("<Once>").wait_for()
        assert "0.75" in str(word.get_attribute("title"))
        # A second cell that watches takes over, and below the first one its last picture stays.
        notebook.run_cell(1)
        step(4)
        status.get_by_text("step 4 of 9").wait_for()
        assert page.locator(LIVE).count() == 1
    write_status(folder, "done")
    page.locator(LIVE).wait_for(state="detached")
    words = page.locator(".jp-RenderedHTML").all_inner_texts()
    colored = [text for text in words if "<Once>" in text]
    assert [text.split()[0] for text in words if text not in colored] == ["running", "done"]
    assert len(colored) == 2


def test_a_hybrid_is_mixed_in_a_cell_and_by_a_cell(lab: Lab, page: "playwright.Page") -> None:
    build = """
import manticore as mc
hybrid = mc.build_hybrid(["zoo:first", "zoo:second"], n_blocks=2)
hybrid.set_mixture_weights([[0.5, 0.5], [0.5, 0.5]])
hybrid.mix("bundled:stories-en?n_stories=40", prompt="The fox")
"""
    make_components(lab.folder / "zoo", build)
    setting = "hybrid.set_mixture_weights([[0.25, 0.75], [1.0, 0.0]])"
    notebook = Notebook(lab, page, "mix.ipynb", build.strip(), "hybrid.mixture_weights", setting)
    notebook.run_cell(0)
    page.locator(".mc-diagram .now", has_text="perplexity as found").wait_for()
    page.locator(".mc-diagram .written", has_text="The fox").wait_for()
    # A key on a divider changes the kernel's hybrid.
    page.get_by_role("slider", name="Mixture weights of block 2").press("Home")
    page.locator(".mc-diagram .now", has_text="mixed by hand").wait_for()
    notebook.run_cell(1)
    shown = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea-output pre")
    shown.get_by_text(re.compile(r"\[(1|0)\.0000, (1|0)\.0000\]")).wait_for()
    # A cell moves the lanes.
    notebook.run_cell(2)
    first = page.get_by_role("slider", name="Mixture weights of block 1")
    playwright.expect(first).to_have_attribute("aria-valuetext", re.compile("25%.*75%"))
    page.get_by_role("button", name="Back to what was found").click()
    page.locator(".mc-diagram .now", has_text="perplexity as found").wait_for()


def test_the_explorer_searches_live_and_a_new_kernel_finds_the_run(
    lab: Lab, page: "playwright.Page"
) -> None:
    make_zoo(lab.folder / "pair")
    explore = f"""
import os
os.environ["MANTICORE_ZOO"] = {str(lab.folder / "pair")!r}
import manticore as mc
from manticore.views.notebook.explorer import cell
cell.TEXT = "bundled:stories-en?n_stories=40"
e = mc.explorer()
e.build_tab.n_blocks.value = 2
e.search_tab.text.value, e.search_tab.strategy.value = cell.TEXT, "darts"
e.search_tab.steps.max = e.search_tab.steps.value = 3000
e
"""
    attach = "import manticore as mc; mc.runs()[0].watch()"
    stop = "mc.runs()[0].stop(); mc.runs()[0].wait()"
    notebook = Notebook(lab, page, "explorer.ipynb", explore.strip(), attach, stop)
    notebook.run_cell(0)
    page.get_by_role("button", name="Build", exact=True).click()
    page.locator(".mc-diagram .now", has_text="perplexity as found").wait_for()

    # Letters go into the chat, and are not JupyterLab's shortcuts.
    tab = page.locator(".mc-explorer .lm-TabBar-tab")
    tab.filter(has_text="Chat").click()
    page.locator(".mc-chat textarea").fill("")
    page.locator(".mc-chat textarea").press_sequentially("Add xxx")
    page.locator(".mc-chat textarea").press("Enter")
    page.locator(".mc-chat .note", has_text="Done").wait_for()
    page.locator(".mc-chat .words-of .word").first.wait_for()
    assert page.locator(".mc-chat .user").inner_text() == "Add xxx"
    assert page.locator(".jp-CodeCell").count() == 3

    # The lanes of the diagram move while the run works.
    tab.filter(has_text="Search").click()
    page.get_by_role("button", name="Start", exact=True).click()
    page.locator(f"{LIVE} [data-panel=mixture] .js-fill").first.wait_for(state="attached")
    lanes = page.locator(".mc-diagram svg").first
    seen = set()
    while len(seen) < 3:
        seen.add(lanes.inner_html())
        page.wait_for_timeout(300)

    lab.restart_kernel("explorer.ipynb")
    notebook.open()
    notebook.run_cell(1)
    shown = page.locator(".jp-CodeCell").nth(1).locator(f"{LIVE} .status")
    shown.get_by_text(re.compile(r"step \d+ of 3000")).wait_for()
    notebook.run_cell(2)
    page.locator(LIVE).first.wait_for(state="detached")
