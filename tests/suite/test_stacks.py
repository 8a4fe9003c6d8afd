"""The suite's models: what they are made of, how large they are, and that dead blocks are dead."""

import math

import pytest
import torch

from manticore.suite.stacks import STACKS, build_stack, find_stack, live_parameters
from manticore.tasks import Setting, make_task

RECALL = {"task": "in-context-recall", "length": 16, "train_examples": 8, "test_examples": 8}
SETTINGS = {
    "recall": Setting(**RECALL),
    "many words": Setting(**RECALL, vocabulary=2048),
    "compression": Setting(task="compression", length=8, train_examples=8, test_examples=8),
}


def data(name="recall"):
    setting = SETTINGS[name]
    return make_task(setting.task, setting)


def built(name, setting="recall", **sizes):
    return build_stack(name, data(setting), **{"width": 64, "n_blocks": 2, **sizes})


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", [*STACKS, "llama+mamba2"])
def test_every_model_takes_every_kind_of_task(name, setting):
    task = data(setting)
    model = built(name, setting)
    batch = {"input_ids": task.train.input_ids, "labels": task.train.labels}
    loss = model(**batch, use_cache=False).loss
    loss.backward()
    # Before it has learned, it is about as good as a guess.
    assert -0.5 < loss.item() - math.log(task.setting.vocabulary) < 1.5
    assert model.config.vocab_size == task.setting.vocabulary


def test_blocks_of_components_are_about_equal_in_size():
    families = ("gpt_neo", "gpt_neox", "llama", "mamba", "mamba2")
    sizes = [live_parameters(built(family, n_blocks=1, width=128)) for family in families]
    assert max(sizes) < 1.25 * min(sizes)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", ["mambaformer", "striped"])
def test_stacks_made_by_hand_equal_the_hybrid_in_size(name, setting):
    hybrid = live_parameters(built("gpt_neo+mamba", setting, n_blocks=3))
    assert live_parameters(built(name, setting, n_blocks=3)) == pytest.approx(hybrid, rel=0.1)


def test_deep_stacks_made_by_hand_equal_the_hybrid_in_size():
    hybrid = live_parameters(built("gpt_neo+mamba", n_blocks=24))
    assert live_parameters(built("mambaformer", n_blocks=24)) == pytest.approx(hybrid, rel=0.015)


@pytest.mark.parametrize(("name", "turns"), [("mambaformer", [1, 0]), ("striped", [0, 1])])
def test_only_live_blocks_run_learn_and_count(name, turns):
    model = built(name)
    n_blocks = model.config.n_blocks
    order = [turns[b % 2] for b in range(n_blocks)]
    assert model.mixture_weights.argmax(dim=1).tolist() == order
    assert [[k for k, _ in model.live_runners(b)] for b in range(n_blocks)] == [[k] for k in order]
    assert not model.mixture.alpha.requires_grad

    ran = []
    stacks = [getattr(runner.backbone, runner.spec.layers) for runner in model.runners]
    for k, layers in enumerate(stacks):
        for index, layer in enumerate(layers):
            layer.register_forward_hook(lambda *_, k=k, index=index: ran.append((k, index)))
    batch = data().train
    model(input_ids=batch.input_ids, labels=batch.labels, use_cache=False).loss.backward()
    live = [
        (k, index)
        for b, k in enumerate(order)
        for index in range(model.cuts[k][b], model.cuts[k][b + 1])
    ]
    assert ran == live

    learned = [parameter for parameter in model.parameters() if parameter.grad is not None]
    assert live_parameters(model) == sum(parameter.numel() for parameter in learned)
    reached = {id(parameter) for parameter in learned}
    for k, layers in enumerate(stacks):
        for index, layer in enumerate(layers):
            alive = {id(parameter) in reached for parameter in layer.parameters()}
            assert alive == {(k, index) in live}
    assert not {id(parameter) for parameter in model.projectors.parameters()} & reached


def test_a_stack_of_one_component_is_that_component():
    model = built("gpt_neox")
    ids = data().test.input_ids
    torch.testing.assert_close(model(ids).logits, model.components[0](ids).logits)
    assert live_parameters(model) == model.components[0].num_parameters()


def test_seeds_give_other_weights_and_twins_are_not_alike():
    ids = data().test.input_ids
    first, again = built("mamba"), built("mamba")
    other = build_stack("mamba", data(), 1, width=64, n_blocks=2)
    assert torch.equal(first(ids).logits, again(ids).logits)
    assert not torch.allclose(first(ids).logits, other(ids).logits)
    twins = built("gpt_neo+gpt_neo").components
    assert not torch.equal(twins[0].get_input_embeddings().weight, twins[1].lm_head.weight)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gtp_neo", "Unknown model 'gtp_neo'. Did you mean 'gpt_neo'"),
        ("gpt_neo+manba", "Unknown family 'manba'. Did you mean 'mamba'"),
        ("mambaformer+mamba", "Unknown family 'mambaformer'"),
        ("+", "Unknown family ''. Choose from: gpt_neo"),
        ("", "Unknown model ''. Choose from: gpt_neo"),
        ("+".join(["mamba"] * 5), "has 5 components: join at most 4"),
    ],
)
def test_a_model_that_is_not_there_is_refused(name, says):
    with pytest.raises(ValueError, match=says):
        find_stack(name)
