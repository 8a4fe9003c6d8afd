# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: manticore
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
#   manticore:
#     minutes: 1
#     quick:
#       STEPS: 6
#       POINTS: 3
# ---

# %% [markdown]
# # 3 · Who finds the mixture weights?
#
# A search has to find a row of mixture weights for every block. On real text nobody knows the best
# ones, so how can we tell whether a search is any good? We hide an answer ourselves: copies of *one*
# model, damaged with noise in known layers. Where one copy is damaged, the other is whole.
#
# **Guess before you run anything:** two copies, each damaged in half of its layers, are both mixed at
# one half in every block. Is that half broken, or worse than either copy alone? And can gradient
# descent find its way out, whatever we hide?
#
# *About a minute on two cores, without a network.*

# %% tags=["parameters"]
STEPS = 12
POINTS = 5

# %%
import torch

import manticore as mc
from manticore.views.plots.theme import new_figure
from manticore.workshop import check

# %% [markdown]
# ## The damaged twins
#
# Copies of one model speak one language, so there are no projectors here (`identity`). There are six
# layers and six blocks. `?damaged=0,2,4` puts noise into three layers, which count from 0.

# %%
TWINS = [
    "zoo:tales-neox?damaged=0,2,4&noise=2&seed=1",
    "zoo:tales-neox?damaged=1,3,5&noise=2&seed=2",
]
without = {"projector": "identity", "projector_init": "identity"}
twins = mc.build_hybrid(TWINS, n_blocks=6, **without)
text = mc.load_text("bundled:stories-en?n_stories=300", tokenizer=twins.tokenizer, seq_len=64)


def at(hybrid, rows):
    """Perplexity of a hybrid at these mixture weights; lower is better."""
    hybrid.set_mixture_weights(rows)
    return mc.perplexity(hybrid, text.valid, max_batches=1)


for name, row in {"first copy": [1, 0], "second copy": [0, 1], "even": [0.5, 0.5]}.items():
    print(f"{name}: perplexity {at(twins, row):.0f}")

# %% [markdown]
# The undamaged model has a perplexity of about 2; at such numbers nothing readable is written. The even
# mixture is better than both copies, as half the noise hurts less than all of it.

# %% [markdown]
# ## The landscape, by hand
#
# Move the mixture weights of one block while the others stay even, and measure. The dashed line moves
# all blocks together.

# %%
weights = torch.linspace(0, 1, POINTS).tolist()
even = [0.5, 0.5]
curves = {"all blocks": [at(twins, [w, 1 - w]) for w in weights]}
for block in range(6):
    curves[f"block {block + 1}"] = [
        at(twins, [[w, 1 - w] if b == block else even for b in range(6)]) for w in weights
    ]

COLORS = ["#8a94a3", "#7c5cd6", "#0d7a5b", "#b23a33", "#b7791f", "#20719f", "#c9699e"]
figure = new_figure(height=400)
for (name, found), color in zip(curves.items(), COLORS, strict=True):
    line = {"color": color, "dash": "dash" if name == "all blocks" else "solid", "width": 2.5}
    figure.add_scatter(x=weights, y=found, name=name, line=line)
figure.update_xaxes(title="mixture weight of the first copy")
figure.update_yaxes(title="perplexity, lower is better", type="log")
figure

# %% [markdown]
# ## Exercise 1: read the landscape
#
# No line of the figure gets below a perplexity of 70. Find mixture weights that are below 3.

# %% tags=["exercise"]
rows = ...  # six rows of two numbers

# %% tags=["check"]
check(
    rows,
    lambda found: at(twins, found) < 3,
    right="The undamaged model is back, out of two that cannot write.",
    wrong=lambda found: f"Perplexity {at(twins, found):.1f}: which end of each line is lower?",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The lines of blocks 1, 3 and 5 fall to the left, where the second copy has everything; the lines of
# blocks 2, 4 and 6 are lower on the right.
#
# ```python
# rows = [[0, 1], [1, 0], [0, 1], [1, 0], [0, 1], [1, 0]]
# ```
#
# Each block can be decided on its own here: that makes this an easy landscape.
# </details>

# %% [markdown]
# ## Exercise 2: how long does gradient descent take?
#
# `darts` makes each row the softmax of some numbers and lets them descend the loss, by the gradient.
# Components are frozen (`component_lr=0`), so that only the mixture weights learn. A step reads four
# sequences of 64 tokens. The search starts at even mixture weights, in a process of its own.

# %%
twins.set_mixture_weights(even)
options = {"batch_size": 4, "component_lr": 0.0, "warmup_steps": 0, "eval_batches": 1}
options |= {"eval_every": 1, "sample_prompt": ""}
run = mc.search(twins, text, strategy="darts", steps=STEPS, mixture_lr=0.3, **options)
run.watch()

# %% [markdown]
# After about how many steps is the perplexity below 3: 3, 10 or 30?

# %% tags=["exercise"]
guess = ...  # 3, 10 or 30

# %% tags=["check"]
run.wait()


def trace(run):
    """Perplexity on held-out text by step."""
    return {e["step"]: e["metrics"]["perplexity"] for e in run.events() if e["kind"] == "eval"}


first = next((step for step, value in trace(run).items() if value < 3), STEPS)
check(
    guess,
    lambda steps: steps == min([3, 10, 30], key=lambda choice: abs(choice - first)),
    right=f"After {first}: " + ", ".join(f"{p:.1f}" for p in list(trace(run).values())[:7]) + ".",
    wrong="Look at the perplexity in the view of the run, step by step.",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# guess = 3
# ```
#
# All blocks move at once, each down its own slope, and every one that improves makes the slopes of the
# others steeper.
# </details>

# %%
run.hybrid().mixture_weights

# %% [markdown]
# ## A trap
#
# Now three copies. Two are damaged in *every* layer, though less. The third is whole, but its 256
# features are in another order: alone it computes the same as ever, and yet the others do not
# understand its hidden states, nor it theirs. What is best is plain: the third copy alone, in all
# blocks.


# %%
READS = ("embed_in.weight", "query_key_value.weight", "h_to_4h.weight")
WRITES = ("attention.dense.weight", "attention.dense.bias", "4h_to_h.weight", "4h_to_h.bias")


@torch.no_grad()
def shuffle_features(component):
    """Put the features of a GPT-NeoX into another order; what it computes stays the same."""
    width = component.model.config.hidden_size
    order = torch.randperm(width, generator=torch.Generator().manual_seed(0))
    for name, weight in component.model.named_parameters():
        if name.endswith(READS):
            weight.copy_(weight[:, order])
        elif name.endswith(WRITES) or "norm" in name:
            weight.copy_(weight[order])


DAMAGED = "zoo:tales-neox?damaged=0,1,2,3,4,5&noise=0.8&seed={}"
whole = mc.load_component("zoo:tales-neox")
shuffle_features(whole)
trap = mc.build_hybrid([DAMAGED.format(1), DAMAGED.format(2), whole], n_blocks=6, **without)

# %% [markdown]
# From even mixture weights, walk to each copy in a straight line, all blocks together:

# %%
middle = torch.full((3,), 1 / 3)
shares = torch.linspace(0, 1, 2 * POINTS - 1)
figure = new_figure(height=360)
for k, name in enumerate(["damaged, 1", "damaged, 2", "whole, shuffled"]):
    corner = torch.eye(3)[k]
    walked = [at(trap, (1 - s) * middle + s * corner) for s in shares]
    figure.add_scatter(x=shares.tolist(), y=walked, name=name, line={"width": 2.5})
figure.update_xaxes(title="share of the way from even mixture weights to this copy alone")
figure.update_yaxes(title="perplexity, lower is better", type="log")
figure

# %% [markdown]
# ## Exercise 3: who falls for it?
#
# - `darts` follows the slope where it stands.
# - `probe` takes no gradient. It *measures*: all rows together, and then each row, a jump towards each
#   corner, the first time all the way. It keeps what was better.
#
# The next cell runs both searches at the same time, each in a process of its own.

# %%
trap.set_mixture_weights(middle)
darts = mc.search(trap, text, "darts", STEPS, mixture_lr=0.3, name="darts", **options)
probe = mc.search(trap, text, "probe", STEPS, probe_every=5, name="probe", **options)
ends = {run.name: list(trace(run.wait()).values())[-1] for run in (darts, probe)}

# %% [markdown]
# Which of the two ends below a perplexity of 2.3, where only the whole copy gets to?

# %% tags=["exercise"]
finds = ...  # {"darts": True or False, "probe": True or False}

# %% tags=["check"]
check(
    finds,
    lambda by_name: dict(by_name) == {name: value < 2.3 for name, value in ends.items()},
    right=f"darts ends at {ends['darts']:.2f}, probe at {ends['probe']:.2f}.",
    wrong="Look at the left end of the lines: which of them falls? And who looks at the right end?",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# finds = {"darts": False, "probe": True}
# ```
#
# At even mixture weights, more of the whole copy makes things worse at first: gradient descent takes
# its weight away and settles for both damaged ones, whose noise partly averages out. The probe jumps
# over the hill.
# </details>

# %%
mc.compare([darts, probe])

# %% [markdown]
# The rows that `darts` ends with; the last column is the whole copy:

# %%
darts.hybrid().mixture_weights

# %% [markdown]
# ## Four strategies, five seeds
#
# Two more that follow the gradient: `gaea` multiplies mixture weights instead of adding to their
# logits, and `dash` draws a random row each time (Gumbel-softmax), at first nearly even, later nearly
# one-hot. [Measured before](../docs/results/planted.md) with equal compute: regret, the nats per token
# by which a search stays above the best possible loss.
#
# | | `darts` | `gaea` | `dash` | `probe` |
# |---|---|---|---|---|
# | twins | 0.000 | 0.001 | 0.000 | 0.000 |
# | the trap (there: `minority`) | 0.348 | 0.346 | 0.527 | 0.000 |

# %% [markdown]
# ## What was seen
#
# - With a planted answer a search can be judged. Where each block can be decided on its own, gradient
#   descent needs a handful of steps.
# - Where the way to the best component is worse than the start, all strategies that follow the gradient
#   miss it, and a search that measures jumps over. It has to pay for that in forward passes, and it
#   judges a component by what it can do at the moment, not by what it could learn.
# - Whatever the strategy, the rows are the same for every word. On a text in two languages no such rows
#   are right: mixture weights that follow the text come [next](04-routing.ipynb).
