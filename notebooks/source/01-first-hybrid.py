# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1 · Your first hybrid
#
# Two language models have never met. One is a transformer of the GPT-NeoX family that has read
# English tales; the other is a Mamba, a state space model, that has read Spanish novels. We cut both
# into four pieces, and join the pieces into one model.
#
# **Guess before you run anything:** if every piece of the joined model is half of the one and half of
# the other, what does it write after *Once upon a time*? English, Spanish, both, or nothing that
# anyone could read?
#
# *Half a minute on two cores, without a network.*

# %% [markdown]
# ## Ten lines

# %%
import manticore as mc
from manticore.workshop import check

hybrid = mc.build_hybrid(["zoo:tales-neox", "zoo:novelas-mamba"], n_blocks=4)
text = mc.load_text("bundled:stories-mixed?n_stories=300", tokenizer=hybrid.tokenizer, seq_len=128)
hybrid

# %% [markdown]
# That is a **pretrained hybrid**. Three words to know:
#
# - A **block** is a run of layers of one model. Each **component** (a pretrained model) has as many
#   layers as before; they are only grouped into four blocks.
# - A **projector** is a small matrix that takes the hidden state into a block and out of it again. The
#   two models speak different languages inside, even where their hidden states have the same width.
# - A **mixture weight** says how much of a component's block enters the sum. In each block they are
#   positive and add up to one: a row of the matrix below.

# %%
hybrid.mixture_weights

# %% [markdown]
# ## Mix it by hand
#
# Drag a divider. The lanes are as thick as their mixture weights; perplexity (lower is better) and the
# text that the hybrid writes follow within a second. Point at any part to read what it is.

# %%
diagram = hybrid.mix()
diagram

# %% [markdown]
# Dragging changes `hybrid` itself, and a cell that sets mixture weights moves the lanes:

# %%
hybrid.set_mixture_weights([[0.9, 0.1], [0.7, 0.3], [0.7, 0.3], [0.9, 0.1]])
mc.perplexity(hybrid, text.valid, max_batches=2)

# %% [markdown]
# ## Exercise 1: one-hot is exactly the component
#
# Is a component still in there, unharmed? Find mixture weights at which the hybrid is *exactly*
# `tales-neox`: not nearly, but the same logits to the last bit that matters.

# %% tags=["exercise"]
alone = ...  # four rows of two numbers, or one row for all blocks

# %% tags=["check"]
import torch

neox = mc.load_component("zoo:tales-neox").model.eval()
ids = hybrid.tokenizer("Once upon a time there was a fox", return_tensors="pt")["input_ids"]


def furthest(weights):
    """The largest difference between a logit of the hybrid and one of tales-neox."""
    hybrid.set_mixture_weights(weights)
    with torch.no_grad():
        return float((hybrid.eval()(ids).logits - neox(ids).logits).abs().max())


check(
    alone,
    lambda weights: furthest(weights) < 1e-4,
    right="The largest difference of any logit is rounding. A hybrid contains its components.",
    wrong=lambda weights: f"A logit differs by {furthest(weights):.2f}. Leave out the other one.",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# All of the weight belongs to the first component in every block; such a row is called one-hot.
#
# ```python
# alone = [1, 0]
# ```
#
# Where a mixture weight is zero, its component does not count at all, and where one is 1, the
# projectors of that block are passed by.
# </details>

# %% [markdown]
# ## Exercise 2: what is half and half worth?
#
# The text has stories in English and stories in Spanish. Measure the perplexity on it at even mixture
# weights and at the two one-hot ends, and put the three numbers into a dictionary. Before you run it:
# is the middle better or worse than the ends?

# %% tags=["exercise"]
measured = ...  # {"even": ..., "tales-neox": ..., "novelas-mamba": ...}

# %% tags=["check"]
check(
    measured,
    lambda m: 1 < m["even"] < m["tales-neox"] < m["novelas-mamba"],
    right="The middle is better than both ends, and still far from good.",
    wrong="Set the mixture weights before each measurement: [0.5, 0.5], [1, 0], then [0, 1].",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# measured = {}
# for name, row in {"even": [0.5, 0.5], "tales-neox": [1, 0], "novelas-mamba": [0, 1]}.items():
#     hybrid.set_mixture_weights(row)
#     measured[name] = mc.perplexity(hybrid, text.valid, max_batches=2)
# measured
# ```
#
# Each component knows the stories of one language and is lost in the other, and perplexity punishes
# the lost one hard: to be half right everywhere costs less than to be quite wrong in half of the text.
# </details>

# %% [markdown]
# ## Exercise 3: where does it help to share?
#
# Let `tales-neox` have all blocks but one, which is even. Sharing which block gives the lowest
# perplexity? Count blocks from 1.

# %% tags=["exercise"]
best_shared = ...  # 1, 2, 3 or 4

# %% tags=["check"]
suffered = []
for shared in range(4):
    hybrid.set_mixture_weights([[0.5, 0.5] if b == shared else [1, 0] for b in range(4)])
    suffered.append(mc.perplexity(hybrid, text.valid, max_batches=2))
check(
    best_shared,
    lambda block: suffered[block - 1] == min(suffered),
    right="By block: " + ", ".join(f"{value:.0f}" for value in suffered) + ".",
    wrong="Another block is better: measure all four, as in exercise 2.",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# found = []
# for shared in range(4):
#     rows = [[0.5, 0.5] if b == shared else [1, 0] for b in range(4)]
#     hybrid.set_mixture_weights(rows)
#     found.append(mc.perplexity(hybrid, text.valid, max_batches=2))
# best_shared = found.index(min(found)) + 1
# best_shared, found
# ```
#
# The last block: its mixture weights also mix the two heads, and with them what is predicted. One
# shared block at the end is better than sharing all of them.
# </details>

# %% [markdown]
# ## What was seen
#
# - A hybrid is its components, cut into blocks and joined by projectors; at one-hot mixture weights it
#   *is* a component.
# - Between the ends it hedges: better than a model that is lost in half of the text, and far from one
#   that knows both languages. So there is something to look for: better projectors
#   ([2](02-projectors.ipynb)), better mixture weights ([3](03-mixture-weights.ipynb)), and mixture
#   weights that follow the text ([4](04-routing.ipynb)).
