"""LoRA adapters of peft on a hybrid: nothing is passed over, nothing is bypassed."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from peft.tuners.lora import LoraLayer

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.hybrid.lora import lora_targets
from manticore.hybrid.routing import RouterSettings
from tests.tiny import FAMILY_NAMES, TEXT, VOCAB_SIZE, build_pair

# peft notes that it sets fan_in_fan_out for GPT-2's Conv1D, and unsets it for linear layers.
pytestmark = pytest.mark.filterwarnings("ignore:fan_in_fan_out")

Component = Callable[..., str]

SHORT_TEXT = " ".join(TEXT) * 8


def _ids(rows: int = 2, length: int = 10) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(2, VOCAB_SIZE, (rows, length), generator=generator)


def _hybrid(component: Component, family: str, mixture: str = "static") -> ManticoreForCausalLM:
    hybrid = build_pair(component, family)
    if mixture == "routed":
        torch.manual_seed(3)
        routed = hybrid.add_router(RouterSettings(width=8, threshold=0.3))
        torch.nn.init.normal_(routed.weight, std=20.0)
    return hybrid


def _adapted(hybrid: ManticoreForCausalLM, **options: object) -> peft.PeftModel:
    torch.manual_seed(0)
    config = peft.LoraConfig(
        r=2, target_modules=lora_targets(hybrid), task_type="CAUSAL_LM", **options
    )
    return peft.get_peft_model(hybrid, config).eval()


def _switch_on(model: peft.PeftModel) -> None:
    """Adapters start as no change; give each one a change."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_every_target_gets_an_adapter_that_acts(component: Component, family: str) -> None:
    hybrid = _hybrid(component, family)
    targets, ids = lora_targets(hybrid), _ids()
    for k, runner in enumerate(hybrid.runners):
        layers = {
            name.split(runner.spec.layers + ".")[1].split(".")[0]
            for name in targets
            if name.startswith(f"components.{k}.")
        }
        assert layers == {str(layer) for layer in range(runner.depth)}
    with torch.no_grad():
        before = hybrid(ids).logits
    model = _adapted(hybrid)
    adapted = {n for n, m in hybrid.named_modules() if isinstance(m, LoraLayer)}
    assert adapted == set(targets)
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, before)
    _switch_on(model)
    model(input_ids=ids, labels=ids).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == ("lora_" in name), name
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_no_target_is_read_past_its_module(component: Component, family: str) -> None:
    """Code that takes a module's weight, as fused kernels do, never sees its adapter."""
    hybrid = _hybrid(component, family)
    # Bloom does so only to imitate the sums of tensor-parallel training, which must be asked for.
    assert not any(getattr(model.config, "slow_but_exact", False) for model in hybrid.components)
    unless_asked = {"BloomAttention", "BloomMLP"}
    for target in lora_targets(hybrid):
        path, _, name = target.rpartition(".")
        for owner in type(hybrid.get_submodule(path)).__mro__:
            if owner.__module__.startswith(("transformers.", "manticore.")):
                read = re.findall(r"self\.(\w+)\.(?:weight|bias)\b", inspect.getsource(owner))
                if owner.__name__ not in unless_asked:
                    assert name not in read, f"{owner.__name__} reads the weights of {name}"


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("mixture", ["static", "routed"])
def test_adapters_learn_reload_and_merge(
    component: Component, family: str, mixture: str, tmp_path: Path
) -> None:
    hybrid = _hybrid(component, family, mixture)
    frozen = {name: p.detach().clone() for name, p in hybrid.named_parameters()}
    model = _adapted(hybrid, lora_alpha=8)
    ids = _ids()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(5):
        loss = model(input_ids=ids, labels=ids).loss
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0] - 0.05
    for name, parameter in model.get_base_model().named_parameters():
        if "lora_" not in name:
            assert torch.equal(parameter, frozen[name.replace(".base_layer", "")]), name

    with torch.no_grad():
        logits = model(input_ids=ids).logits
        model.save_pretrained(tmp_path / "adapters")
        again = peft.PeftModel.from_pretrained(
            _hybrid(component, family, mixture), tmp_path / "adapters"
        )
        assert torch.equal(again.eval()(input_ids=ids).logits, logits)
        options = {"max_new_tokens": 4, "do_sample": False}
        mask = torch.ones_like(ids)
        written = again.generate(input_ids=ids, attention_mask=mask, **options)
        merged = again.merge_and_unload()
        assert isinstance(merged, ManticoreForCausalLM)
        torch.testing.assert_close(merged(ids).logits, logits, rtol=1e-4, atol=2e-5)
        assert torch.equal(merged.generate(ids, attention_mask=mask, **options), written)
        merged.save_pretrained(tmp_path / "merged")
        loaded = ManticoreForCausalLM.from_pretrained(tmp_path / "merged")
        assert torch.equal(loaded(ids).logits, merged(ids).logits)


def test_projectors_and_new_head_train_beside_adapters(
    component: Component, tmp_path: Path
) -> None:
    def make() -> ManticoreForCausalLM:
        folders = [component("gpt2"), component("mamba", width=48)]
        return build_hybrid(folders, 2, projector_init="random", head="new")

    model = _adapted(make(), modules_to_save=["projectors", "new_norm", "new_head"])
    _switch_on(model)
    ids = _ids()
    model(input_ids=ids, labels=ids).loss.backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    parts = {name.split(".")[2] for name in trained}
    assert parts == {"components", "projectors", "new_norm", "new_head"}
    assert all("lora_" in name for name in trained if ".components." in name)
    for name, parameter in trained.items():
        assert parameter.grad.abs().sum() > 0, name
        with torch.no_grad():
            parameter.add_(parameter.grad)
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        again = peft.PeftModel.from_pretrained(make(), tmp_path).eval()
        assert torch.equal(again(input_ids=ids).logits, model(input_ids=ids).logits)


def test_adapters_train_with_gradient_checkpointing(component: Component) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = _adapted(_hybrid(component, "gpt_neox"))
        _switch_on(model)
        model.train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model(input_ids=_ids(), labels=_ids()).loss.backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.requires_grad})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("families", "head"),
    [(("gpt2", "llama"), "mixed"), (("gpt2",), "mixed"), (("gpt2", "gpt_neox"), "new")],
)
def test_all_linear_leaves_the_heads_out(
    component: Component, families: tuple[str, ...], head: str
) -> None:
    """That of gpt2 is tied to its embedding, those of llama and gpt_neox are not."""
    folders = [component(family, width=32 + 16 * k) for k, family in enumerate(families)]
    hybrid = build_hybrid(folders, 2, projector_init="random", head=head)
    before = {name: weight.clone() for name, weight in hybrid.state_dict().items()}
    config = peft.LoraConfig(
        r=2, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
    )
    torch.manual_seed(0)
    model = peft.get_peft_model(hybrid, config).eval()
    adapted = {n for n, m in hybrid.named_modules() if isinstance(m, LoraLayer)}
    assert adapted > set(lora_targets(build_hybrid(folders, 2, projector_init="identity")))
    assert not [name for name in adapted if name.endswith(("lm_head", "embed_out", "new_head"))]
    with torch.no_grad():
        logits = model(input_ids=_ids()).logits
        merged = model.merge_and_unload()
        torch.testing.assert_close(merged(_ids()).logits, logits, rtol=1e-4, atol=1e-4)
    for k, part in enumerate(merged.components):
        for kind in ("input", "output"):
            weight = getattr(part, f"get_{kind}_embeddings")().weight
            names = [n for n, w in merged.components[k].named_parameters() if w is weight]
            assert torch.equal(weight, before[f"components.{k}.{names[0]}"])


@pytest.mark.parametrize("target", [["lm_head"], r".*\.lm_head"])
def test_an_adapter_on_a_component_head_is_refused(component: Component, target: object) -> None:
    config = peft.LoraConfig(r=2, target_modules=target, task_type="CAUSAL_LM")
    with pytest.raises(ValueError, match="ComponentHead"):
        peft.get_peft_model(_hybrid(component, "gpt2"), config)


def test_a_hybrid_with_adapters_is_not_given_a_second_set(component: Component) -> None:
    hybrid = _hybrid(component, "gpt_neox")
    _adapted(hybrid)
    with pytest.raises(ValueError, match="adapters already"):
        lora_targets(hybrid)
