"""A hybrid made ready for a task: blocks and projectors as they were, embeddings and heads anew."""

from collections.abc import Callable

import pytest
import torch

import manticore as mc
from manticore.config.programming import ProgramConfig
from manticore.programming.fresh import hybrid_for_task
from manticore.tasks import TASKS, Setting, find_task, make_task, measure
from manticore.train.groups import parameter_groups

FAMILIES = ("gpt_neo", "gpt_neox", "llama", "mamba", "mamba2")


def small(task: str) -> Setting:
    options = {**find_task(task).quick, "train_examples": 16, "test_examples": 24}
    return Setting(task=task, **options)


@pytest.fixture
def hybrid(component: Callable[..., str]) -> mc.ManticoreForCausalLM:
    parts = [component("gpt_neox"), component("mamba", width=24)]
    return mc.build_hybrid(parts, 2, mixture_weights=[[0.75, 0.25], [0.5, 0.5]])


def parts(hybrid: mc.ManticoreForCausalLM) -> dict[str, torch.Tensor]:
    """Everything but embeddings and heads."""
    words = ("embed", "lm_head", "wte")
    return {
        name: tensor
        for name, tensor in hybrid.state_dict().items()
        if not any(word in name for word in words)
    }


def test_blocks_projectors_and_mixture_are_copied(hybrid: mc.ManticoreForCausalLM) -> None:
    before = {name: tensor.clone() for name, tensor in hybrid.state_dict().items()}
    data = make_task("in-context-recall", small("in-context-recall"))
    made = hybrid_for_task(hybrid, data)
    assert made.config.vocab_size == 16
    assert made.config.scales == hybrid.config.scales
    old, new = parts(hybrid), parts(made)
    assert old.keys() == new.keys()
    assert len(old) > 20
    assert all(torch.equal(old[name], new[name]) for name in old)
    assert all(torch.equal(tensor, before[name]) for name, tensor in hybrid.state_dict().items())
    assert hybrid.tokenizer.decode([5]) != made.tokenizer.decode([5]) == "5"


def test_from_scratch_everything_is_anew_in_the_same_shapes(
    hybrid: mc.ManticoreForCausalLM,
) -> None:
    data = make_task("in-context-recall", small("in-context-recall"))
    made = hybrid_for_task(hybrid, data, seed=1, from_scratch=True)
    old, new = parts(hybrid), parts(made)
    assert {name: tensor.shape for name, tensor in old.items()} == {
        name: tensor.shape for name, tensor in new.items()
    }
    matrices = [name for name, tensor in old.items() if tensor.dim() > 1 and "mixture" not in name]
    drawn = [name for name in matrices if not torch.equal(new[name], old[name])]
    # Mamba's decay rates are set, not drawn.
    assert [name for name in matrices if name not in drawn] == [
        name for name in matrices if name.endswith("A_log")
    ]
    assert torch.equal(made.mixture_weights, hybrid.mixture_weights)
    again = hybrid_for_task(hybrid, data, seed=1, from_scratch=True)
    assert all(
        torch.equal(tensor, again.state_dict()[n]) for n, tensor in made.state_dict().items()
    )
    other = parts(hybrid_for_task(hybrid, data, seed=2, from_scratch=True))
    assert not all(torch.equal(other[name], new[name]) for name in drawn)
    with torch.no_grad():
        assert torch.isfinite(made(data.test.input_ids).logits).all()


def test_untrained_blocks_get_projectors_of_their_own(hybrid: mc.ManticoreForCausalLM) -> None:
    """Also where the hybrid has one component alone, for which no projector is fitted."""
    hybrid.set_mixture_weights([[1.0, 0.0], [0.5, 0.5]])
    data = make_task("memorization", small("memorization"))
    made = hybrid_for_task(hybrid, data, from_scratch=True)
    kept = hybrid_for_task(hybrid, data)
    own = hybrid.projectors.state_dict()
    for name, weight in made.projectors.state_dict().items():
        assert torch.equal(kept.projectors.state_dict()[name], own[name])
        assert not torch.equal(weight, own[name])


@pytest.mark.parametrize("family", FAMILIES)
def test_fresh_embeddings_are_of_the_size_that_blocks_know(
    component: Callable[..., str], family: str
) -> None:
    hybrid = mc.build_hybrid([component(family)], 2)
    trained = hybrid.components[0].get_input_embeddings().weight
    with torch.no_grad():
        trained.mul_(3).add_(torch.linspace(-1, 1, trained.shape[1]))
    data = make_task("memorization", Setting(task="memorization", vocabulary=2048, length=4))
    made = hybrid_for_task(hybrid, data, seed=1)
    fresh = made.components[0].get_input_embeddings().weight
    assert fresh.shape == (2048, trained.shape[1])
    torch.testing.assert_close(fresh.mean(dim=0), trained.mean(dim=0), atol=0.05, rtol=0.1)
    torch.testing.assert_close(fresh.std(dim=0), trained.std(dim=0), atol=0.01, rtol=0.15)
    head = made.components[0].get_output_embeddings().weight
    tied = hybrid.components[0].get_output_embeddings().weight is trained
    assert (head is fresh) == tied
    again, other = hybrid_for_task(hybrid, data, seed=1), hybrid_for_task(hybrid, data, seed=2)
    assert torch.equal(again.components[0].get_input_embeddings().weight, fresh)
    assert not torch.equal(other.components[0].get_input_embeddings().weight, fresh)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_gives_a_loss_and_an_accuracy(
    hybrid: mc.ManticoreForCausalLM, task: str
) -> None:
    data = make_task(task, small(task))
    made = hybrid_for_task(hybrid, data).train()
    batch = torch.utils.data.default_collate([data.train[index] for index in range(8)])
    loss = made(**batch).loss
    loss.backward()
    assert torch.isfinite(loss)
    used = [name for name, weight in made.named_parameters() if weight.grad is not None]
    assert any("into" in name for name in used)
    assert any("decoder" in name for name in used) == (task == "compression")
    measured = measure(made, data.test, batch_size=7)
    assert 0 <= measured["accuracy"] <= 1
    assert measured["perplexity"] > 1
    assert made.training
    whole = measure(made, data.test, batch_size=24)
    assert measured["accuracy"] == whole["accuracy"]
    assert measured["perplexity"] == pytest.approx(whole["perplexity"], rel=1e-4)
    assert measure(made, data.test, batch_size=8, max_batches=1) == pytest.approx(
        measure(made, torch.utils.data.Subset(data.test, range(8))), rel=1e-4
    )


def test_a_hybrid_that_reconstructs_survives_saving(
    hybrid: mc.ManticoreForCausalLM, tmp_path: object
) -> None:
    data = make_task("compression", small("compression"))
    made = hybrid_for_task(hybrid, data)
    made.save_pretrained(tmp_path)
    again = mc.ManticoreForCausalLM.from_pretrained(tmp_path)
    ids = data.test.input_ids[:4]
    with torch.no_grad():
        logits = made(ids).logits
        assert torch.equal(again(ids).logits, logits)
    assert logits.shape == (4, ids.shape[1] + 1, 16)


def test_what_reconstruction_cannot_do_is_refused(hybrid: mc.ManticoreForCausalLM) -> None:
    made = hybrid_for_task(hybrid, make_task("compression", small("compression")))
    ids = torch.tensor([[1, 2, 3]])
    with pytest.raises(ValueError, match="neither continues"):
        made(ids, attention_mask=torch.tensor([[0, 1, 1]]))
    with pytest.raises(ValueError, match="neither continues"):
        made.generate(ids, max_new_tokens=4, do_sample=False)


@pytest.mark.parametrize(
    ("options", "rate"),
    [
        ({"component_lr": 0.0, "projector_lr": 0.3}, 0.3),
        ({"component_lr": 0.2, "component_lr_factors": [0.0, 1.0]}, 0.2),
        ({"component_lr": 0.2, "projector_lr": 0.0, "component_lr_factors": [0.0, 1.0]}, 0.2),
    ],
)
@pytest.mark.parametrize("task", ["in-context-recall", "compression"])
def test_what_is_fresh_learns_where_blocks_are_frozen(
    hybrid: mc.ManticoreForCausalLM, options: dict, rate: float, task: str
) -> None:
    data = make_task(task, small(task))
    made = hybrid_for_task(hybrid, data)
    groups = parameter_groups(made, ProgramConfig(**options), [])
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    for model in made.components:
        for module in (model.get_input_embeddings(), model.get_output_embeddings()):
            assert rates[id(module.weight)] == rate
            assert module.weight.requires_grad
    if task == "compression":
        decoder = {rates[id(weight)] for weight in made.decoder.parameters()}
        assert decoder == {options.get("projector_lr", 1e-3) or rate}
    assert {p.requires_grad for p in made.projectors.parameters()} == {
        options.get("projector_lr") != 0
    }
    frozen = [name for name, p in made.components[0].named_parameters() if not p.requires_grad]
    assert len(frozen) > 10
    assert len(rates) == sum(len(group["params"]) for group in groups)


def test_every_token_learns_also_that_which_was_for_padding(
    component: Callable[..., str],
) -> None:
    hybrid = mc.build_hybrid([component("llama")], 1)
    hybrid.components[0].get_input_embeddings().padding_idx = 1
    data = make_task("in-context-recall", small("in-context-recall"))
    embedding = hybrid_for_task(hybrid, data).components[0].get_input_embeddings()
    embedding(torch.tensor([1, 2])).sum().backward()
    assert embedding.weight.grad[1].abs().min() > 0
