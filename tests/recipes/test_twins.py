"""The bundled recipe `twins`: every row decides for the copy whose block is whole."""

from pathlib import Path

import torch

import manticore as mc
from manticore.evaluate import perplexity

RIGHT = [[0.0, 1.0], [1.0, 0.0]] * 3


def test_every_row_finds_the_whole_copy_in_thirty_steps(tmp_path: Path) -> None:
    recipe = mc.Recipe.from_yaml("twins")
    assert recipe.options("search").steps == 30
    shorter = {"data.seq_len": 32, "search.eval_batches": 1, "search.sample_prompt": ""}
    (run,) = mc.run_recipe(recipe.with_options({**shorter, "device": "cpu"}), root=tmp_path)
    hybrid = run.hybrid()
    assert (hybrid.mixture_weights - torch.tensor(RIGHT)).abs().max().item() < 0.02

    text = mc.load_text("bundled:stories-en?n_stories=60", tokenizer=hybrid.tokenizer, seq_len=32)

    def measured(model: torch.nn.Module) -> float:
        return perplexity(model, text.valid, batch_size=8, max_batches=4)

    whole = measured(mc.load_component("zoo:tales-neox").model)
    assert measured(hybrid) < 1.01 * whole
    assert all(measured(twin) > 50 * whole for twin in hybrid.components)
