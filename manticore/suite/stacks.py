"""The models that the suite compares, untrained and over a task's vocabulary.

Stacks of one family; hybrids of several, whose mixture weights are searched; and stacks designed by
hand, which are hybrids too: each block has one component, in a fixed order.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from manticore.components.scratch import ARCHITECTURES, Scratch
from manticore.config.run import MAX_COMPONENTS
from manticore.config.setting import Setting
from manticore.hybrid.body import HybridBody
from manticore.hybrid.build import build_hybrid
from manticore.hybrid.classification import ManticoreForSequenceClassification
from manticore.names import choose
from manticore.tasks.data import TaskData
from manticore.tasks.task import find_task

LAYERS_PER_BLOCK = {"mamba": 2, "mamba2": 2}
"""1 for all other families: a Mamba layer has no MLP, and about half the parameters of a layer of
attention with its MLP (116,000 and 198,000 at width 128)."""


@dataclass(frozen=True)
class Stack:
    """What a model is made of.

    Attributes:
        families: Families of its components.
        first: In a stack designed by hand, index of the component whose block comes first; the
            components take turns from there. None where every block has all components.
    """

    families: tuple[str, ...]
    first: int | None = None

    @property
    def searched(self) -> bool:
        """Whether there are mixture weights to find."""
        return self.first is None and len(self.families) > 1

    def order(self, n_blocks: int) -> list[list[float]] | None:
        """Mixture weights (N, K) of a stack designed by hand; None for any other."""
        if self.first is None:
            return None
        K = len(self.families)
        return [[float((b + self.first) % K == k) for k in range(K)] for b in range(n_blocks)]


STACKS: dict[str, Stack] = {
    **{family: Stack((family,)) for family in ARCHITECTURES},
    "gpt_neo+mamba": Stack(("gpt_neo", "mamba")),
    # Mamba comes first, so there is no position embedding: its state has the positions.
    "mambaformer": Stack(("gpt_neo", "mamba"), first=1),
    "striped": Stack(("gpt_neo", "mamba"), first=0),
}
"""The models by name; FAMILY+FAMILY names any other hybrid."""


def find_stack(name: str) -> Stack:
    """The model of this name.

    Raises:
        UnknownNameError: There is no such model or family.
        ValueError: More components than a hybrid can have.
    """
    families = tuple(name.split("+"))
    if name in STACKS or len(families) == 1:
        return STACKS[choose(name, STACKS, "model")]
    if len(families) > MAX_COMPONENTS:
        raise ValueError(
            f"The model {name!r} has {len(families)} components: join at most {MAX_COMPONENTS} "
            "families with +."
        )
    return Stack(tuple(choose(family, ARCHITECTURES, "family") for family in families))


def build_stack(
    name: str,
    data: TaskData,
    seed: int = 0,
    *,
    width: int = 128,
    n_blocks: int = 4,
    as_large_as: str | None = None,
) -> HybridBody:
    """An untrained model for a task.

    Args:
        name: A name in `STACKS`, or FAMILY+FAMILY.
        data: Data of the task, which decide the vocabulary, length, head and labels.
        seed: Random seed of the weights.
        width: Width D of all components.
        n_blocks: Number of blocks of a single-family stack or a hybrid. A stack designed by hand
            has the number of blocks that brings it closest in size to the hybrid of its components.
        as_large_as: Name of a hybrid to which single-family stacks are made closest in size.

    Returns:
        A `ManticoreForCausalLM`, or a `ManticoreForSequenceClassification` where sequences are
        classified.

    Raises:
        ValueError: No such model, or an impossible width.
    """
    stack = find_stack(name)
    like = name if stack.first is not None else as_large_as
    if like is not None and not stack.searched:
        setting: Any = data.setting  # frozen, and so hashable
        n_blocks = blocks_of_equal_size(name, like, setting, width, n_blocks)
    return _build(stack, data.setting, data.length, seed, width, n_blocks)


def live_parameters(model: HybridBody) -> int:
    """Number of weights that the loss depends on: blocks that do not run do not count."""
    shape, labels = (1, 4), torch.zeros(1, 4)
    if isinstance(model, ManticoreForSequenceClassification):
        shape, labels = (1, 2, 4) if model.config.pairs else shape, torch.zeros(1)
    elif model.config.head == "reconstruction":
        labels = torch.zeros(1, 5)
    given = {"input_ids": torch.zeros(shape), "labels": labels}
    given = {name: tensor.long().to(model.device) for name, tensor in given.items()}
    loss = model(**given, use_cache=False).loss
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    reached = torch.autograd.grad(loss, trained, allow_unused=True)
    return sum(gradient.numel() for gradient in reached if gradient is not None)


@lru_cache(maxsize=256)
def blocks_of_equal_size(name: str, like: str, setting: Setting, width: int, n_blocks: int) -> int:
    """Number of blocks with which a stack is as large as a hybrid.

    On tasks with large vocabularies the number may differ: a stack whose first and last block
    belong to the same component has one embedding, which is its head too, and the hybrid has K.

    Args:
        name: Name of a stack of one family, or designed by hand.
        like: Name of the hybrid, or of a stack of its components.
        setting: Setting of the task.
        width: Width D of all components.
        n_blocks: Number of blocks of the hybrid.
    """
    stack = find_stack(name)

    def size(stack: Stack, n_blocks: int) -> int:
        return live_parameters(_build(stack, setting, setting.length, 0, width, n_blocks))

    hybrid = Stack(find_stack(like).families)
    wanted = size(hybrid, n_blocks)
    K = len(stack.families)
    # Every K further blocks add the same number, so small stacks tell the size of all.
    small = [size(stack, n) for n in range(K, 2 * K)]
    more = size(stack, 2 * K) - small[0]
    # All blocks of the hybrid together; projectors and embeddings are smaller.
    most = 2 * len(hybrid.families) * (n_blocks + 1)
    candidates = range(K, most + 1)
    return min(candidates, key=lambda n: abs(small[n % K] + more * (n // K - 1) - wanted))


def _build(
    stack: Stack, setting: Setting, length: int, seed: int, width: int, n_blocks: int
) -> HybridBody:
    K, task = len(stack.families), find_task(setting.task)
    parts = [
        Scratch(
            family=family,
            vocabulary=setting.vocabulary,
            length=length,
            width=width,
            layers=n_blocks * LAYERS_PER_BLOCK.get(family, 1),
            seed=K * seed + k,
        )
        for k, family in enumerate(stack.families)
    ]
    hybrid = build_hybrid(
        [part.source for part in parts],
        n_blocks,
        projector_init="identity",
        head=task.head,
        mixture_weights=stack.order(n_blocks),
        seed=seed,
    )
    if task.labels is None:
        return hybrid
    return ManticoreForSequenceClassification.from_hybrid(
        hybrid, task.labels(setting), pooling=task.pooling, pairs=task.pairs, seed=seed
    )
