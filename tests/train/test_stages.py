"""The stages around a search, each a run: what they train, what they leave alone."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import manticore as mc
from manticore.hybrid import lora_targets
from manticore.runs import RunConfig
from tests.tiny_runs import do_here, write_text

SMALL = {"batch_size": 4, "eval_every": 3, "eval_batches": 1, "sample_prompt": "", "device": "cpu"}
HERE = SMALL | {"launch": False}


@pytest.fixture
def hybrid(component: Callable[..., str]) -> mc.ManticoreForCausalLM:
    parts = [component("gpt_neox"), component("mamba", width=24)]
    alpha = [[0.75, 0.25], [0.5, 0.5]]
    return mc.build_hybrid(parts, 2, projector_init="identity", mixture_weights=alpha)


@pytest.fixture
def data(
    hybrid: mc.ManticoreForCausalLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> object:
    monkeypatch.setenv("MANTICORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MANTICORE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return mc.load_text(write_text(tmp_path), tokenizer=hybrid.tokenizer, seq_len=16)


def changed(before: mc.ManticoreForCausalLM, after: mc.ManticoreForCausalLM) -> set[str]:
    """Which parts of the hybrid have other weights."""
    old, new = before.state_dict(), after.state_dict()
    assert old.keys() == new.keys()
    return {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}


def test_pretraining_moves_projectors_alone(hybrid: mc.ManticoreForCausalLM, data: object) -> None:
    run = do_here(mc.pretrain_projectors(hybrid, data, 3, **HERE))
    assert changed(hybrid, run.hybrid()) == {"projectors"}
    with pytest.raises(ValueError, match="component_lr"):
        mc.pretrain_projectors(hybrid, data, component_lr=1e-3)


def test_finetuning_starts_from_the_original_weights_at_the_searched_mixture(
    hybrid: mc.ManticoreForCausalLM, data: object
) -> None:
    search = do_here(mc.search(hybrid, data, steps=3, mixture_lr=0.3, component_lr=1e-2, **HERE))
    found = search.hybrid()
    assert changed(hybrid, found) == {"components", "projectors", "mixture"}
    assert changed(hybrid, search.original_hybrid()) == {"mixture"}
    run = do_here(mc.finetune(search, data, 3, **HERE))
    tuned = run.hybrid()
    assert torch.equal(tuned.mixture_weights, found.mixture_weights)
    assert changed(search.original_hybrid(), tuned) == {"components", "projectors"}
    start = mc.ManticoreForCausalLM.from_pretrained(run.folder / "start")
    assert changed(search.original_hybrid(), start) == set()

    # However a search came to its end, or was looked at since: no search has trained the start.
    evaluated = mc.evaluate(found, data, launch=False, device="cpu")
    assert changed(search.original_hybrid(), evaluated.hybrid_to_finetune()) == set()
    again = do_here(mc.search(found, data, steps=3, mixture_lr=0.3, component_lr=1e-2, **HERE))
    assert changed(hybrid, again.original_hybrid()) == {"mixture"}
    assert torch.equal(again.original_hybrid().mixture_weights, again.hybrid().mixture_weights)
    small = {"vocabulary": 16, "length": 8, "train_examples": 32, "test_examples": 16}
    options = {"settings": {"memorization": small}, "batch_size": 4, "warmup_steps": 0}
    options |= {"mixture_lr": 0.3, "launch": False, "device": "cpu"}
    programmed = do_here(mc.program(found, ["memorization"], 2, **options))
    assert changed(found, programmed.hybrid()) == {"mixture"}
    assert changed(programmed.original_hybrid(), programmed.hybrid_to_finetune()) == set()
    assert changed(hybrid, programmed.hybrid_to_finetune()) == {"mixture"}
    search.delete()
    with pytest.raises(KeyError, match=f"continued with the hybrid of run {search.id}"):
        mc.finetune(again, data, 3, **SMALL)


def test_finetuning_a_hybrid_goes_on_from_its_weights(
    hybrid: mc.ManticoreForCausalLM, data: object
) -> None:
    run = do_here(mc.finetune(hybrid, data, 3, component_lr=0, **HERE))
    assert changed(hybrid, run.hybrid()) == {"projectors"}


def test_finetuning_a_run_that_was_no_search_goes_on_from_what_it_made(
    hybrid: mc.ManticoreForCausalLM, data: object
) -> None:
    pretrained = do_here(mc.pretrain_projectors(hybrid, data, 3, **HERE))
    run = do_here(mc.finetune(pretrained, data, 3, **HERE))
    start = mc.ManticoreForCausalLM.from_pretrained(run.folder / "start")
    assert changed(pretrained.hybrid(), start) == set()
    assert changed(hybrid, start) == {"projectors"}


@pytest.mark.parametrize("lora", [None, {"rank": 2}], ids=["whole", "lora"])
def test_components_learn_at_rates_of_their_own(
    hybrid: mc.ManticoreForCausalLM, data: object, lora: dict[str, int] | None
) -> None:
    options = {"component_lr": 1e-3, "projector_lr": 0, "lora": lora, **HERE}
    run = do_here(mc.finetune(hybrid, data, 1, component_lr_factors=(0, 2), **options))
    old, new = hybrid.state_dict(), run.hybrid().state_dict()
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert moved
    assert all(name.startswith("components.1.") for name in moved)
    rates = [event["lr"] for event in run.events() if event["kind"] == "step"]
    assert [rate.keys() for rate in rates] == [{"component 1"}]
    options["component_lr"] = 2e-3
    doubled = do_here(mc.finetune(hybrid, data, 1, component_lr_factors=(0, 1), **options))
    assert all(
        torch.equal(new[name], value) for name, value in doubled.hybrid().state_dict().items()
    )
    with pytest.raises(ValueError, match="3 factors for 2 components"):
        mc.finetune(hybrid, data, 1, component_lr_factors=(1, 1, 1), **options)


def test_adapters_are_trained_and_merged(hybrid: mc.ManticoreForCausalLM, data: object) -> None:
    options = {"component_lr": 1e-2, "projector_lr": 0, "lora": {"rank": 2}, **HERE}
    run = do_here(mc.finetune(hybrid, data, 3, **options))
    tuned = run.hybrid()
    old, new = hybrid.state_dict(), tuned.state_dict()
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    targets = {f"{name}.weight" for name in lora_targets(hybrid)}
    assert moved == targets
    # A difference of rank 2 in each.
    name = next(iter(targets))
    singular = torch.linalg.svdvals(new[name] - old[name])
    assert singular[1] > 0
    assert singular[2] < 1e-5 * singular[0]


def test_a_stopped_run_with_adapters_gives_a_hybrid_and_goes_on(
    hybrid: mc.ManticoreForCausalLM, data: object
) -> None:
    options = {"lora": {"rank": 2}, "component_lr": 1e-2, "checkpoint_every": 1, **SMALL}
    run = mc.finetune(hybrid, data, 4000, **options)
    while not run.losses()[0].size:
        assert run.is_alive
        time.sleep(0.02)
    run.stop()
    run.wait(240)
    assert "components" in changed(hybrid, run.hybrid())


def test_evaluation_measures_and_changes_nothing(
    hybrid: mc.ManticoreForCausalLM, data: object
) -> None:
    options = {"eval_batches": 2, "batch_size": 4, "device": "cpu", "launch": False}
    run = do_here(mc.evaluate(hybrid, data, **options))
    metrics = run.metrics()
    limited = {"batch_size": 4, "max_batches": 2}
    assert metrics["perplexity"] == pytest.approx(mc.perplexity(hybrid, data.valid, **limited))
    for name, model in zip(hybrid.component_names, hybrid.components, strict=True):
        alone = mc.perplexity(model, data.valid, **limited)
        assert metrics["components"][name] == pytest.approx(alone)
    assert torch.tensor(metrics["alignment_error"]["into"]).shape == (2, 2)
    assert changed(hybrid, run.hybrid()) == set()


def test_an_evaluation_warns(hybrid: mc.ManticoreForCausalLM, data: object) -> None:
    options = {"eval_batches": 1, "batch_size": 4, "device": "cpu", "launch": False}
    run = do_here(mc.evaluate(hybrid, data, **options))
    said = [event["message"] for event in run.events() if event["kind"] == "warning"]
    errors = torch.tensor(run.metrics()["alignment_error"]["into"])
    assert sum("states far from its own" in message for message in said) == int((errors > 1).sum())
    best = min(run.metrics()["components"].values())
    worse = run.metrics()["perplexity"] > best
    assert any("is worse than that of" in message for message in said) == worse
    assert said


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        ("pretrain_projectors", {}),
        ("finetune", {"component_lr": 0, "lora": {"rank": 2}}),
        ("search", {"component_lr": 0, "strategy": "fixed"}),
    ],
)
def test_a_stage_in_which_nothing_learns_is_refused(
    component: Callable[..., str], data: object, stage: str, options: dict
) -> None:
    parts = [component("gpt_neox"), component("mamba", width=24)]
    hybrid = mc.build_hybrid(parts, 2, projector="identity")
    run = getattr(mc, stage)(hybrid, data, steps=3, **options, **HERE)
    with pytest.raises(ValueError, match="Nothing"):
        do_here(run)


def test_projectors_that_are_not_used_are_not_trained(
    hybrid: mc.ManticoreForCausalLM, data: object
) -> None:
    hybrid.set_mixture_weights([[1.0, 0.0], [0.0, 1.0]])
    run = mc.pretrain_projectors(hybrid, data, 2, **HERE)
    with pytest.raises(ValueError, match="its projectors are not used"):
        do_here(run)


def test_a_run_can_be_made_and_started_later(hybrid: mc.ManticoreForCausalLM, data: object) -> None:
    run = mc.pretrain_projectors(hybrid, data, 2, launch=False, **SMALL)
    assert run.status.state == "stopped"
    assert "not started" in run.status.message
    assert not run.events()
    run.kill()  # there is nothing to kill, least of all this process
    assert run.resume().wait(240).status.state == "done"


def test_options_of_another_stage_are_refused() -> None:
    fields = {"components": ["a"], "n_blocks": 1, "data": {}, "stage": "finetune"}
    with pytest.raises(ValueError, match="'search' belong to another stage than 'finetune'"):
        RunConfig(**fields, search={"steps": 5})
