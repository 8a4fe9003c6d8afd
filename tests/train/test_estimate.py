"""What is said of a run before it is started follows from its hybrid and its options."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from manticore import build_hybrid
from manticore.components.examination import examine
from manticore.components.facts import Facts
from manticore.config.run import RunConfig
from manticore.names import PROJECTORS, STRATEGIES
from manticore.train.estimate import START_S, estimate
from manticore.train.groups import parameter_groups

SMALL = Facts("mamba", 5_000_000, 6, 256, 4_096)


def _config(components: tuple[str, ...] = ("a", "b"), **changes: Any) -> RunConfig:
    options = changes.pop("options", {})
    if "stage" not in changes:
        options = {"steps": 100, **options}
    data = {"source": "bundled:stories-en", "seq_len": changes.pop("seq_len", 128)}
    return RunConfig.model_validate(
        {"components": components, "n_blocks": 4, "data": data, "options": options, **changes}
    )


def _said(**changes: Any) -> Any:
    return estimate(_config(**changes), [SMALL, SMALL])


@pytest.mark.parametrize("projector", list(PROJECTORS))
def test_parameters_are_counted_as_they_are_in_the_hybrid(
    component: Callable[..., str], projector: str
) -> None:
    sources = (component("gpt2"), component("mamba", width=24), component("opt"))
    config = _config(sources, projector=projector, options={"component_lr": 0.0})
    hybrid = build_hybrid(list(sources), 4, projector=projector, projector_init="identity")
    facts = [examine(source).facts for source in sources]
    said = estimate(config, facts)
    mixture = sum(weight.numel() for weight in hybrid.mixture.parameters())
    assert said.parameters == sum(w.numel() for w in hybrid.parameters()) - mixture
    groups = parameter_groups(hybrid, config.options, [])
    learning = {id(w): w.numel() for group in groups for w in group["params"]}
    assert said.learning == sum(learning.values())
    assert said.memory.weights == 4 * said.parameters


def test_a_component_has_the_vocabulary_of_the_first() -> None:
    other = Facts("gpt2", 5_000_000, 6, 256, 8_192, tied=False)
    said = estimate(_config(projector="identity"), [SMALL, other])
    assert said.parameters == 10_000_000 - 2 * (8_192 - 4_096) * 256


def test_what_learns_less_takes_less() -> None:
    every, frozen = _said(), _said(options={"component_lr": 0.0})
    half = _said(options={"component_lr_factors": [1.0, 0.0]})
    assert every.memory.training > half.memory.training > frozen.memory.training > 0
    assert every.step_s > half.step_s > frozen.step_s
    assert every.memory.weights == frozen.memory.weights


def test_longer_texts_larger_batches_and_more_steps_take_more() -> None:
    once = _said()
    for more in (_said(seq_len=256), _said(options={"batch_size": 16})):
        assert more.memory.activations == pytest.approx(2 * once.memory.activations)
        assert once.step_s < more.step_s < 2 * once.step_s
    assert _said(options={"batch_size": 16, "accumulate": 2}).memory == once.memory
    longer = _said(options={"steps": 200})
    assert longer.step_s == once.step_s
    assert once.run_s < longer.run_s < 2 * once.run_s


def test_strategies_take_what_they_measure() -> None:
    said = {name: _said(options={"strategy": name}) for name in STRATEGIES}
    darts = said["darts"]
    assert said["darts-bilevel"].step_s > 1.5 * darts.step_s
    for name in ("probe", "random", "sweep", "routed"):
        assert said[name].run_s > darts.run_s
        assert said[name].step_s == darts.step_s
    # The fit of a router scores sixteen sequences at once: logits of a large vocabulary decide.
    many_words = replace(SMALL, vocabulary=100_000)
    routed, plain = (
        estimate(_config(options={"strategy": name, "batch_size": 1}), [many_words] * 2)
        for name in ("routed", "darts")
    )
    assert routed.memory.activations > plain.memory.activations


def test_programming_searches_once_a_task() -> None:
    def said(*tasks: str) -> Any:
        config = _config(stage="program", options={"tasks": tasks, "steps": 20}, data={})
        return estimate(config, [SMALL, SMALL])

    one, both = said("compression"), said("compression", "in-context-recall")
    assert both.run_s > 1.5 * one.run_s
    assert both.step_s >= one.step_s
    # Tasks have small vocabularies of their own.
    assert one.learning < _said().learning


def test_a_slow_machine_takes_longer_once_it_has_started() -> None:
    config = _config()
    once, twice = (estimate(config, [SMALL, SMALL], slowness) for slowness in (1, 2))
    assert twice.step_s == 2 * once.step_s
    assert twice.run_s - START_S == pytest.approx(2 * (once.run_s - START_S))
    assert twice.memory == once.memory


def test_other_stages_have_no_estimate() -> None:
    config = _config(stage="evaluate")
    with pytest.raises(TypeError, match="no estimate of the stage 'evaluate'"):
        estimate(config, [SMALL, SMALL])
