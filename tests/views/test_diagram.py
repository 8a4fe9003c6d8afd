"""The scene that the diagram draws, and the numbers of mixture weights that are tried by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.evaluate.by_hand import perplexity_at, try_mixture_weights
from manticore.hybrid.outline import outline
from manticore.views.diagram import Reading, scene_of, scene_of_run
from manticore.views.panels import Snapshot

Component = Callable[..., str]


@pytest.fixture(scope="module")
def hybrid(component: Component) -> ManticoreForCausalLM:
    parts = [component("gpt_neox"), component("mamba", width=24)]
    return build_hybrid(parts, 2, projector_init="identity").eval()


def test_an_outline_counts_every_part(hybrid: ManticoreForCausalLM) -> None:
    told = outline(hybrid)
    assert [c["family"] for c in told["components"]] == ["gpt_neox", "mamba"]
    for component, model in zip(told["components"], hybrid.components, strict=True):
        assert component["parameters"] == model.num_parameters()
        assert component["cuts"][0] == 0
        assert len(component["cuts"]) == len(component["block_parameters"]) + 1 == 3
        assert 0 < sum(component["block_parameters"]) < component["parameters"]
    pairs = [size for c in told["components"] for pair in c["projectors"] for size in pair]
    assert sum(pairs) == sum(p.numel() for p in hybrid.projectors.parameters())


def test_a_scene_says_what_each_part_is(hybrid: ManticoreForCausalLM) -> None:
    reading = Reading("Once", [("a", 0.5)], [("b", [[1.0, 0.0], [0.0, 1.0]])])
    scene = scene_of(outline(hybrid), [[0.5, 0.5], [1.0, 0.0]], reading, editable=True)
    assert scene["weights"] == [[0.5, 0.5], [1.0, 0.0]]
    assert scene["next"] == [{"text": "a", "probability": 0.5}]
    assert scene["tokens"] == [{"text": "b", "weights": [[1.0, 0.0], [0.0, 1.0]]}]
    assert len({c["color"] for c in scene["components"]}) == 2
    sentences = [c["about"] for c in scene["components"]] + scene["embeddings"] + scene["heads"]
    sentences += [text for row in scene["blockTexts"] for text in row]
    sentences += [text for row in scene["projectors"] for pair in row for text in pair]
    sentences += scene["states"]
    assert all(text[0].isupper() or text[0].islower() for text in sentences)
    assert all(text.endswith(".") for text in sentences)
    assert len(set(sentences)) == len(sentences)
    into = scene["projectors"][1][1][0]
    assert "block 2" in into
    assert "width 24" in into


def _events(hybrid: ManticoreForCausalLM) -> list[dict[str, Any]]:
    rows = [[[1.0, 0.0]] * 2] * 3 + [[[0.0, 1.0]] * 2] * 3
    names = hybrid.component_names
    mixed = {"step": 4, "weights": [[0.25, 0.75], [0.5, 0.5]], "components": names}
    tokens = ["one", "\n", "two", "uno", " ", "dos"]
    return [
        {"kind": "stage", "name": "search", "total_steps": 4},
        {"kind": "hybrid", **outline(hybrid)},
        {"kind": "mixture", **mixed},
        {"kind": "probe", **mixed, "tokens": tokens, "weights": rows, "starts": [0, 3]},
    ]


def test_a_run_shows_its_newest_mixture_weights_and_both_kinds_of_passages(
    hybrid: ManticoreForCausalLM,
) -> None:
    events = _events(hybrid)
    scene = scene_of_run(Snapshot("run", "search", events))
    assert scene is not None
    assert scene["id"] == "run"
    assert scene["weights"] == [[0.25, 0.75], [0.5, 0.5]]
    assert "".join(token["text"] for token in scene["tokens"]) == "one two … uno dos … "
    assert scene["tokens"][-1]["weights"] == [[0.0, 1.0]] * 2
    assert scene_of_run(Snapshot("run", "search", events[:1])) is None
    built = scene_of_run(Snapshot("run", "search", events[:2]), "running")
    assert built is not None
    assert built["weights"] == [[0.5, 0.5], [0.5, 0.5]]
    assert built["tokens"] == []


def test_a_search_can_be_replayed_from_its_first_step_to_its_last(
    hybrid: ManticoreForCausalLM,
) -> None:
    events = _events(hybrid)[:2]
    names = hybrid.component_names
    for step in range(301):
        share = 0.5 + step / 600
        rows = [[share, 1 - share]] * 2
        events.append({"kind": "mixture", "step": step, "weights": rows, "components": names})
    scene = scene_of_run(Snapshot("run", "search", events))
    assert scene is not None
    assert len(scene["history"]) == 60
    assert scene["history"][0] == {"label": "step 0", "weights": [[0.5, 0.5]] * 2}
    assert scene["history"][-1] == {"label": "step 300", "weights": [[1.0, 0.0]] * 2}
    # A task of a program has moments of its own.
    events.append({"kind": "mixture", "step": 0, "weights": rows, "task": "memorization"})
    scene = scene_of_run(Snapshot("run", "program", events), "running")
    assert scene is not None
    assert len(scene["history"]) == 1


def test_mixing_by_hand_leaves_the_hybrid_as_it_is(hybrid: ManticoreForCausalLM) -> None:
    torch.manual_seed(0)
    ids = torch.randint(0, hybrid.config.vocab_size, (2, 12))
    before = hybrid.mixture_weights.clone()
    own = try_mixture_weights(hybrid, ids, "a word")
    corner = [[0.0, 1.0]] * 2
    tried = try_mixture_weights(hybrid, ids, "a word", corner)
    assert torch.equal(hybrid.mixture_weights, before)
    assert own != tried
    assert own.perplexity == perplexity_at(hybrid, ids)
    shares = [share for _, share in tried.next]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1
    # At a corner it is the component alone.
    model = hybrid.components[1]
    logits = model(ids, use_cache=False).logits[:, :-1].flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, ids[:, 1:].flatten())
    assert tried.perplexity == pytest.approx(loss.exp().item(), rel=1e-5)
    with pytest.raises(ValueError, match="sum"):
        perplexity_at(hybrid, ids, [[0.5, 0.6]] * 2)
    with pytest.raises(ValueError, match="prompt"):
        try_mixture_weights(hybrid, ids, " ")
