"""Names, folders and cards of the bundled components."""

import json
import subprocess
import sys

import pytest

from manticore.components.zoo import zoo_card, zoo_names, zoo_path
from manticore.names import UnknownNameError
from tools.zoo.card_page import NOTICE_FILE, render_card
from tools.zoo.cards import PYTHON_NOTICE
from tools.zoo.recipes import RECIPES, get_recipe

MEGABYTE = 1_000_000
MEASURED = (
    "tales_en.valid.txt",
    "novels_es.valid.txt",
    "bundled:stories-en, held out",
    "bundled:stories-es, held out",
    "bundled:python, held out",
)


def test_every_recipe_is_bundled_and_nothing_else():
    assert zoo_names() == sorted(RECIPES)


def test_prefix_is_optional():
    assert zoo_path("zoo:tales-neox") == zoo_path("tales-neox")


@pytest.mark.parametrize("lookup", [zoo_path, get_recipe])
def test_unknown_name_gives_the_nearest(lookup):
    with pytest.raises(UnknownNameError, match=r"tales-nex.*Did you mean 'tales-neox'"):
        lookup("tales-nex")


@pytest.mark.parametrize("name", ["", "qqqq", "../zoo/tales-neox", "tales-neox/", "zoo:zoo:tales"])
def test_odd_names_are_unknown(name):
    with pytest.raises(UnknownNameError, match="Choose from: novelas-mamba, stdlib-llama"):
        zoo_path(name)


def test_a_folder_of_ones_own_replaces_the_bundled_one(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    monkeypatch.setenv("MANTICORE_ZOO", str(tmp_path))
    assert zoo_names() == ["mine"]
    assert zoo_path("mine") == tmp_path / "mine"


def test_a_missing_folder_of_ones_own_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("MANTICORE_ZOO", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"MANTICORE_ZOO=.*nowhere.*unset"):
        zoo_names()


def test_the_whole_zoo_is_small():
    files = [path for name in zoo_names() for path in zoo_path(name).iterdir()]
    assert sum(path.stat().st_size for path in files) <= 40 * MEGABYTE


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_card_is_complete(name):
    card, recipe = zoo_card(name), get_recipe(name)
    assert card["name"] == name
    assert card["training"]["recipe"] == json.loads(recipe.model_dump_json())
    assert card["training"]["steps"] == recipe.steps
    assert card["training"]["tokens_seen"] == recipe.tokens_seen() > 5_000_000
    assert card["training"]["machine"]
    assert sum(part["fraction"] for part in card["data"]) == pytest.approx(1)
    for text in MEASURED:
        assert card["perplexity"][text]["perplexity"] > 1
        assert card["perplexity"][text]["tokens"] > 10_000
    assert len(card["sample"]["text"].split()) > 30
    assert (zoo_path(name) / "README.md").read_text(encoding="utf-8") == render_card(card)


def test_what_was_trained_on_python_ships_its_license():
    trained = {name for name, recipe in RECIPES.items() if recipe.language == "python"}
    assert {name for name in zoo_names() if (zoo_path(name) / NOTICE_FILE).is_file()} == trained
    for name in trained:
        notice = (zoo_path(name) / NOTICE_FILE).read_text(encoding="utf-8")
        assert notice == PYTHON_NOTICE.read_text(encoding="utf-8")
        assert "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2" in notice
        assert "Python Software Foundation; All Rights" in notice
        assert f"[PSF License Version 2]({NOTICE_FILE})" in render_card(zoo_card(name))


def test_naming_a_component_does_not_import_torch():
    code = "import sys, manticore.components.zoo as z; z.zoo_names(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
