"""The models that the suite compares, made from nothing over a task's vocabulary.

One component stacked; a hybrid of several, whose mixture weights are searched; and stacks made by
hand, which are hybrids too: each block is left to one component, in a fixed order.
"""

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache

import torch

from manticore.components.scratch import ARCHITECTURES, Scratch
from manticore.hybrid import ManticoreForCausalLM, build_hybrid
from manticore.hybrid.configuration import MAX_COMPONENTS
from manticore.tasks.data import TaskData
from manticore.tasks.registry import find_task
from manticore.tasks.settings import Setting

LAYERS_PER_BLOCK = {"mamba": 2, "mamba2": 2}
"""One where not said: a Mamba layer has no MLP, and about half the parameters of a layer of
attention with its MLP (116,000 and 198,000 at width 128)."""


@dataclass(frozen=True)
class Stack:
    """What a model is made of.

    Attributes:
        families: Of its components.
        first: In a stack made by hand, the component whose block comes first; the components take
            turns from there. None where every block has all components.
    """

    families: tuple[str, ...]
    first: int | None = None

    @property
    def searched(self) -> bool:
        """Whether there are mixture weights to find."""
        return self.first is None and len(self.families) > 1

    def order(self, n_blocks: int) -> list[list[float]] | None:
        """Mixture weights (N, K) of a stack made by hand."""
        if self.first is None:
            return None
        K = len(self.families)
        return [[float((b + self.first) % K == k) for k in range(K)] for b in range(n_blocks)]


STACKS: dict[str, Stack] = {
    **{family: Stack((family,)) for family in ARCHITECTURES},
    "gpt_neo+mamba": Stack(("gpt_neo", "mamba")),
    # Mamba embeds, so there is no embedding of positions: the first block's state has them.
    "mambaformer": Stack(("gpt_neo", "mamba"), first=1),
    "striped": Stack(("gpt_neo", "mamba"), first=0),
}
"""By name; FAMILY+FAMILY names any other hybrid."""


def find_stack(name: str) -> Stack:
    """The model of this name.

    Raises:
        ValueError: There is none.
    """
    if name in STACKS:
        return STACKS[name]
    families = tuple(name.split("+"))
    if 1 < len(families) <= MAX_COMPONENTS and all(family in ARCHITECTURES for family in families):
        return Stack(families)
    words = {near for word in re.split(r"\+", name) for near in _near(word)}
    hint = f"did you mean {' or '.join(sorted(words))}? " if words else ""
    raise ValueError(
        f"There is no model {name!r}: {hint}Choose of {', '.join(STACKS)}, or join 2 to "
        f"{MAX_COMPONENTS} of {', '.join(ARCHITECTURES)} with +."
    )


def _near(word: str) -> list[str]:
    return [] if word in STACKS else difflib.get_close_matches(word, STACKS, n=1, cutoff=0.6)


def build_stack(
    name: str, data: TaskData, seed: int = 0, *, width: int = 128, n_blocks: int = 4
) -> ManticoreForCausalLM:
    """A model from nothing for a task.

    Args:
        name: Of `STACKS`, or FAMILY+FAMILY.
        data: The task: it decides vocabulary, length and head.
        seed: Of the first weights.
        width: D.
        n_blocks: Of a stack and of a hybrid. A stack made by hand has as many blocks as bring it
            nearest to the size of the hybrid of its components.

    Raises:
        ValueError: No such model, or a width that it cannot have.
    """
    stack = find_stack(name)
    if stack.first is not None:
        n_blocks = blocks_of_equal_size(name, data.setting, width, n_blocks)
    return _build(stack, data.setting, data.length, seed, width, n_blocks)


def live_parameters(model: ManticoreForCausalLM) -> int:
    """How many weights the loss depends on: those of blocks that are not run do not count."""
    ids = torch.zeros(1, 4, dtype=torch.long, device=model.device)
    labels = torch.zeros(1, 5 if model.config.head == "reconstruction" else 4, dtype=torch.long)
    loss = model(input_ids=ids, labels=labels.to(model.device), use_cache=False).loss
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    reached = torch.autograd.grad(loss, trained, allow_unused=True)
    return sum(gradient.numel() for gradient in reached if gradient is not None)


@lru_cache(maxsize=256)
def blocks_of_equal_size(name: str, setting: Setting, width: int, n_blocks: int) -> int:
    """Blocks of a stack made by hand, for the size of its components' hybrid of `n_blocks`.

    On tasks of large vocabularies the number may be another: a stack whose first and last block are
    of one component has one embedding, which is its head too, and the hybrid has K.

    Args:
        name: Of a stack made by hand.
        setting: Of the task.
        width: D.
        n_blocks: Of the hybrid.
    """
    stack = find_stack(name)

    def size(stack: Stack, n_blocks: int) -> int:
        return live_parameters(_build(stack, setting, setting.length, 0, width, n_blocks))

    wanted = size(Stack(stack.families), n_blocks)
    K = len(stack.families)
    # Each K blocks more add the same, so small stacks tell the size of all.
    small = [size(stack, n) for n in range(K, 2 * K)]
    more = size(stack, 2 * K) - small[0]
    # The hybrid's n_blocks are K * n_blocks of the stack; projectors and embeddings are less again.
    candidates = range(K, 2 * K * (n_blocks + 1) + 1)
    return min(candidates, key=lambda n: abs(small[n % K] + more * (n // K - 1) - wanted))


def _build(
    stack: Stack, setting: Setting, length: int, seed: int, width: int, n_blocks: int
) -> ManticoreForCausalLM:
    K = len(stack.families)
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
    return build_hybrid(
        [part.source for part in parts],
        n_blocks,
        projector_init="identity",
        head=find_task(setting.task).head,
        mixture_weights=stack.order(n_blocks),
        seed=seed,
    )
