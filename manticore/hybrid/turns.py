"""Components that take turns: each runs its own forward once per pass, pausing between blocks.

That is cheaper than a forward for each block (`components.paused`), and gives the same. It is
possible where a component takes part in blocks that follow each other, and all the tokens of the
pass go through all of them. Otherwise each block is a forward of its own.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch

from manticore.components.paused import PausedPass
from manticore.hybrid.blocks import HybridBlocks
from manticore.hybrid.cache import HybridCache
from manticore.hybrid.folding import FoldedBlock, folded_joints
from manticore.hybrid.mixture import PassWeights
from manticore.hybrid.tokens import Tokens


@contextmanager
def taking_turns(
    blocks: HybridBlocks,
    input_ids: torch.Tensor | None,
    weights: PassWeights,
    tokens: Tokens,
    cache: HybridCache | None,
) -> Iterator[HybridBlocks]:
    """Inside, the blocks whose components have started, if they can take turns in this pass.

    Args:
        blocks: The hybrid's parts.
        input_ids: (B, T) token ids; None where the pass begins with embeddings.
        weights: The mixture weights of the pass.
        tokens: Where the tokens are in their sequences.
        cache: The components' caches, or None.
    """
    spans = None if input_ids is None else _spans(blocks, weights, input_ids.shape[1], cache)
    if input_ids is None or spans is None:
        yield blocks
        return
    started: dict[int, PausedPass] = {}
    try:
        for k, (first, last) in spans.items():
            cuts = blocks.cuts[k][first : last + 2]
            started[k] = blocks.runners[k].start(
                input_ids,
                cuts,
                attention_mask=tokens.attention_mask,
                position_ids=tokens.position_ids,
                cache=None if cache is None else cache.block(k, cuts[0], cuts[-1]),
            )
        yield replace(blocks, started=started, joints=_joints(blocks, weights, cache))
    finally:
        for component in started.values():
            component.close()


def _joints(
    blocks: HybridBlocks, weights: PassWeights, cache: HybridCache | None
) -> Mapping[int, FoldedBlock]:
    """The folded joints of a pass; none where they cannot be folded.

    They are kept with the cache: made once for a text, and gone with it, whoever changes weights.
    """
    joints = folded_joints(blocks, weights, None if cache is None else cache.joints)
    if cache is not None:
        cache.joints = joints
    return {} if joints is None else joints.by_block


def _spans(
    blocks: HybridBlocks, weights: PassWeights, n_tokens: int, cache: HybridCache | None
) -> dict[int, tuple[int, int]] | None:
    """First and last block of each component that takes part; None if they cannot take turns."""
    spans: dict[int, tuple[int, int]] = {}
    for block in range(blocks.n_blocks):
        for k in weights.live(block):
            first, last = spans.get(k, (block, block - 1))
            late = cache is not None and cache.has_missed(block, k)
            if late or last != block - 1 or weights.extent(block, k, n_tokens) < n_tokens:
                return None
            spans[k] = (first, block)
    return spans if all(blocks.runners[k].pauses for k in spans) else None
