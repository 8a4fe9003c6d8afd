"""Samples: the same for the same seed, whatever else is random, and never too long."""

from collections.abc import Callable

import torch

from manticore import build_hybrid
from manticore.hybrid.sampling import sample_text


def test_a_seed_gives_a_text_and_disturbs_nothing(component: Callable[..., str]) -> None:
    hybrid = build_hybrid([component("gpt2")], projector_init="identity").train()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    texts = [sample_text(hybrid, "Once", 12, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(3), expected)
    assert texts[0] == texts[1] != texts[2]
    assert hybrid.training


def test_a_long_prompt_leaves_room_to_go_on(component: Callable[..., str]) -> None:
    hybrid = build_hybrid([component("gpt2")], projector_init="identity")
    prompt = "the fox had a lantern " * 40
    assert hybrid.max_length == 64
    for wanted in (8, 500):
        text = sample_text(hybrid, prompt, wanted)
        n_kept = 64 - min(wanted, 63)
        kept = hybrid.tokenizer(prompt)["input_ids"][-n_kept:]
        assert text.startswith(hybrid.tokenizer.decode(kept))
