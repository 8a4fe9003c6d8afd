"""Loading components: the weights are those of the file."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from manticore.components.loading import load_component
from tests.tiny import make_model, make_tokenizer


@pytest.mark.parametrize("family", ["mamba", "mamba2", "falcon_mamba"])
def test_projections_that_were_rescaled_once_load_as_they_are(tmp_path: Path, family: str) -> None:
    model = make_model(family)
    # Transformers divides the output projections again when it loads a model with this flag.
    model.config.rescale_prenorm_residual = True
    model.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    loaded = load_component(tmp_path).model.state_dict()
    for name, tensor in load_file(tmp_path / "model.safetensors").items():
        assert torch.equal(loaded[name], tensor), name
