"""The registry of everything that has a name."""

from typing import Annotated

import pytest
from pydantic import BaseModel, ValidationError

from manticore.names import (
    PROJECTORS,
    STAGES,
    STRATEGIES,
    VIEWS,
    Entry,
    NameIn,
    Registry,
    UnknownNameError,
    choose,
)


@pytest.mark.parametrize(
    "registry", [STRATEGIES, PROJECTORS, STAGES, VIEWS], ids=lambda registry: registry.kind
)
def test_every_entry_is_there_and_described(registry):
    for name, entry in registry.items():
        assert callable(registry.load(name))
        assert entry.about.endswith(".")
        assert len(entry.about) < 100


def test_options_of_stages_are_options():
    for entry in STAGES.values():
        assert issubclass(entry.load_options(), BaseModel)


def test_options_of_strategies_are_fields_of_a_search():
    fields = STAGES["search"].load_options().model_fields
    for entry in STRATEGIES.values():
        assert entry.options <= fields.keys()
        assert entry.defaults.keys() <= entry.options


def test_an_unknown_name_gets_the_nearest_and_all():
    with pytest.raises(UnknownNameError) as error:
        STRATEGIES.find("gaae")
    assert str(error.value).startswith("Unknown strategy 'gaae'. Did you mean 'gaea'? Choose from:")
    assert all(name in str(error.value) for name in STRATEGIES)


@pytest.mark.parametrize("name", [None, 3, [3], "", "something else entirely"])
def test_what_is_near_nothing_gets_the_list_alone(name):
    with pytest.raises(UnknownNameError, match=r"^Unknown kind .*\. Choose from: darts, gaea\.$"):
        choose(name, ["darts", "gaea"], "kind")


def test_names_are_checked_when_a_value_is():
    toys = Registry("toy", {"ball": Entry(home="builtins:int", about="A ball.")})

    class Box(BaseModel):
        toy: Annotated[str, NameIn(toys)] = "ball"

    with pytest.raises(ValidationError, match="Unknown toy 'kite'"):
        Box(toy="kite")
    toys["kite"] = Entry(home=dict, about="A kite.")
    assert Box(toy="kite").toy == "kite"
    assert toys.load("kite") is dict
    assert toys.described() == "ball or kite"
