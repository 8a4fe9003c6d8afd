"""Each token's probability under the hybrid and each component alone, against passes by hand."""

from collections.abc import Callable

import pytest
import torch

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.evaluate import who_wrote
from manticore.hybrid.routing import RouterSettings

TEXT = "Once upon a time a fox had a lantern"


@pytest.fixture(scope="module", params=["mixed", "new"])
def hybrid(component: Callable[..., str], request: pytest.FixtureRequest) -> ManticoreForCausalLM:
    parts = [component("gpt_neox"), component("mamba", width=24)]
    return build_hybrid(parts, n_blocks=2, projector_init="identity", head=request.param)


@torch.no_grad()
def test_probabilities_are_those_of_the_hybrid_and_of_each_component(
    hybrid: ManticoreForCausalLM,
) -> None:
    ids = hybrid.tokenizer(TEXT)["input_ids"]
    found = who_wrote(hybrid, ids, start=4)
    assert found.components == hybrid.component_names
    assert "".join(token.text for token in found.tokens) == hybrid.tokenizer.decode(ids[4:])
    whole = torch.tensor([ids])
    shares = hybrid(whole).logits[0].softmax(-1)
    alone = [model(whole).logits[0].softmax(-1) for model in hybrid.components]
    for t, token in enumerate(found.tokens, 4):
        assert token.probability == pytest.approx(shares[t - 1, ids[t]].item(), rel=1e-4)
        wanted = [own[t - 1, ids[t]].item() for own in alone]
        assert token.components == pytest.approx(wanted, rel=1e-4)
        likeliest = [i for i in shares[t - 1].argsort(descending=True).tolist() if i != ids[t]]
        likely = shares[t - 1, likeliest[:4]].tolist()
        assert [share for _, share in token.runners_up] == pytest.approx(likely, rel=1e-4)
        assert token.weights is None
    assert not found.is_routed


def test_one_hot_mixture_weights_give_the_component_every_word(
    component: Callable[..., str],
) -> None:
    hybrid = build_hybrid([component("gpt_neox"), component("mamba", width=24)], n_blocks=2)
    hybrid.set_mixture_weights([0.0, 1.0])
    for token in who_wrote(hybrid, TEXT).tokens:
        assert token.probability == pytest.approx(token.components[1], rel=1e-4)


def test_routed_weights_are_those_that_predicted_the_token(
    component: Callable[..., str],
) -> None:
    hybrid = build_hybrid([component("gpt_neox"), component("mamba", width=24)], n_blocks=2)
    torch.manual_seed(0)
    routed = hybrid.add_router(RouterSettings(width=4))
    torch.nn.init.normal_(routed.weight)
    found = who_wrote(hybrid, TEXT, start=3)
    weights = hybrid.mixture_of(TEXT)
    assert found.is_routed
    for t, token in enumerate(found.tokens, 3):
        assert token.weights == weights[t - 1].tolist()


@pytest.mark.parametrize(
    ("text", "start", "says"),
    [
        ([5], 1, "fewer than two tokens"),
        ([5, 6, 7], 3, "start=3 leaves no predicted token in a text of 3 tokens: give 1 to 2"),
        ([5, 6, 7], 0, "start=0 leaves"),
        ([5] * 70, 1, "too long"),
    ],
)
def test_what_cannot_be_told_is_said(
    component: Callable[..., str], text: list[int], start: int, says: str
) -> None:
    hybrid = build_hybrid([component("gpt2")], n_blocks=2)
    with pytest.raises(ValueError, match=says):
        who_wrote(hybrid, text, start)
