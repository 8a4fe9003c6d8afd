"""Which parameters learn, and which of them decay."""

from collections.abc import Callable

import pytest

import manticore as mc
from manticore.config.training import TrainConfig
from manticore.train.groups import parameter_groups
from tests.tiny import FAMILY_NAMES


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_matrices_decay_and_nothing_else_does(component: Callable[..., str], family: str) -> None:
    parts = [component(family), component("llama", width=48, layers=3, seed=1)]
    hybrid = mc.build_hybrid(parts, 2, projector_init="random")
    groups = parameter_groups(hybrid, TrainConfig(weight_decay=0.1), [])
    grouped = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    mixture = {id(parameter) for parameter in hybrid.mixture.parameters()}
    learning = {name: p for name, p in hybrid.named_parameters() if id(p) not in mixture}
    assert grouped.keys() == {id(parameter) for parameter in learning.values()}
    for name, parameter in learning.items():
        matrix = parameter.ndim > 1 and "A_log" not in name
        assert grouped[id(parameter)] == (0.1 if matrix else 0), name
