"""One step of the selective scan against the sequential definition."""

import pytest
import torch

from manticore.ops import selective_step
from manticore.ops.reference import reference_scan

BATCH, CHANNELS, STATES, LENGTH = 2, 12, 5, 4


@pytest.mark.parametrize("groups", [None, 1, 3])
@pytest.mark.parametrize("rates", [STATES, 1])
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_equal_the_definition(groups, rates, gated, dtype):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    map_shape = (BATCH, STATES, LENGTH) if groups is None else (BATCH, groups, STATES, LENGTH)
    sequences = {"u": normal(BATCH, CHANNELS, LENGTH), "delta": normal(BATCH, CHANNELS, LENGTH)}
    sequences |= {"B": normal(*map_shape), "C": normal(*map_shape)}
    A, options = -normal(CHANNELS, rates).abs(), {}
    if gated:
        sequences["z"] = normal(BATCH, CHANNELS, LENGTH)
        options = {"D": normal(CHANNELS), "delta_bias": normal(CHANNELS), "delta_softplus": True}
    state = normal(BATCH, CHANNELS, STATES)
    expected, last_state = reference_scan(
        **sequences, A=A.expand(-1, STATES), **options, initial_state=state.clone()
    )
    outputs = []
    for t in range(LENGTH):
        token = {name: sequence[..., t] for name, sequence in sequences.items()}
        outputs.append(selective_step(state, **token, A=A, **options))
    torch.testing.assert_close(torch.stack(outputs, dim=-1), expected)
    torch.testing.assert_close(state, last_state)
