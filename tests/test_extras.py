"""What an extra installs, and what is said where it is missing."""

import re
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from manticore.extras import EXTRAS, MissingExtraError, require
from manticore.recipes.sweeping import sweep
from manticore.runs import RunConfig
from manticore.runs.launch import make_run_folder

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
FINETUNE = {"stage": "finetune", "options": {"lora": {"rank": 2}}}


def _extras() -> dict[str, list[str]]:
    return tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("module", EXTRAS)
def test_the_extra_that_an_error_names_installs_the_package(module: str) -> None:
    installed = {re.split(r"[\[><=;]", name)[0].lower() for name in _extras()[EXTRAS[module]]}
    # JupyterLab brings IPython; others have another name where they are installed from.
    package = {"IPython": "jupyterlab", "PIL": "pillow", "sklearn": "scikit-learn"}
    assert package.get(module, module) in installed


def test_all_has_every_extra_that_needs_no_gpu_and_tests_have_all() -> None:
    extras = _extras()
    (everything,) = extras["all"]
    named = set(re.search(r"\[(.*)\]", everything)[1].split(","))
    assert named == set(extras) - {"all", "cuda", "test"}
    assert "manticore-hybrids[all]" in extras["test"]


def test_what_is_there_is_not_refused() -> None:
    require("The test", "peft", "gradio")


def _page(_: Path) -> None:
    import_module("app")


def _notebook(_: Path) -> None:
    import_module("manticore.views.notebook")


def _lora(root: Path) -> None:
    config = RunConfig(
        components=["a", "b"],
        n_blocks=1,
        data={"source": "t.txt"},
        stage="finetune",
        options={"lora": {"rank": 2}},
    )
    make_run_folder(config, root=root / "runs")


def _sweep(root: Path) -> None:
    steps = {"search.steps": [1, 2]}
    sweep("bilingual", steps, root=root / "runs", address="ray://nowhere:1")


def _track(root: Path) -> None:
    config = RunConfig(
        components=["a", "b"], n_blocks=1, data={"source": "t.txt"}, trackers=["tensorboard"]
    )
    make_run_folder(config, root=root / "runs")


@pytest.mark.parametrize(
    ("package", "need"),
    [
        ("gradio", _page),
        ("ipywidgets", _notebook),
        ("peft", _lora),
        ("ray", _sweep),
        ("tensorboard", _track),
    ],
)
def test_what_needs_a_missing_extra_names_it_before_it_starts(
    package: str, need: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == "app" or name.startswith("manticore.views.notebook"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # as Python has it where there is no package
    said = re.escape(f'pip install "manticore-hybrids[{EXTRAS[package]}]"')
    with pytest.raises(MissingExtraError, match=f"{package}: run `{said}`"):
        need(tmp_path)
    assert not (tmp_path / "runs").exists()
