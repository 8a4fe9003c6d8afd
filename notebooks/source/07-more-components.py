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
#     quick: {PASSAGES: 30, FIT: 40, STEPS: 8}
# ---

# %% [markdown]
# # 7 · Three components
#
# Now there is a third one: `stdlib-llama`, a Llama that has read Python's standard library. Each of
# the three knows one kind of text and is lost in the other two, so an average has even more to ruin
# than with two.
#
# **Guess before you run anything:** the three together are three times as large as one. When a routed
# hybrid reads a text of three kinds, how many of the three does a token need on average: three, two,
# or hardly more than one?
#
# *About a minute on two cores, without a network.*

# %% tags=["parameters"]
PASSAGES = 120
FIT = 240
STEPS = 60

# %%
import json
import random
from dataclasses import replace
from itertools import islice
from pathlib import Path
from time import process_time

import plotly.graph_objects as go
import torch

import manticore as mc
from manticore.workshop import check

names = ["tales-neox", "novelas-mamba", "stdlib-llama"]
hybrid = mc.build_hybrid([f"zoo:{name}" for name in names], n_blocks=4)
hybrid

# %% [markdown]
# ## A text of three kinds
#
# There is no bundled text of three kinds, so we blend one: short passages of three sources, shuffled, a
# row of a table for each. `mc.load_text` reads the table and holds out a fifth of its rows. We take
# the parts of the sources that are held out already: the components have never seen them.

# %%
sources = {
    "English": "bundled:stories-en",
    "Spanish": "bundled:stories-es",
    "Python": "bundled:python",
}
kinds, passages = {}, []
for kind, source in sources.items():
    data = mc.load_text(source, tokenizer=hybrid.tokenizer, seq_len=96, streaming=True)
    items = list(islice(data.valid, PASSAGES + 8))
    kinds[kind] = items[:8]  # to measure on: not blended
    passages += [hybrid.tokenizer.decode(item["input_ids"]) for item in items[8:]]

random.Random(0).shuffle(passages)
rows = [json.dumps({"text": passage.replace("<|endoftext|>", "\n")}) for passage in passages]
Path("blend.jsonl").write_text("\n".join(rows), encoding="utf-8")

blend = mc.load_text(
    "blend.jsonl", tokenizer=hybrid.tokenizer, seq_len=128, valid_fraction=0.2, cache_dir="cache"
)
blend

# %% [markdown]
# ## What each of them knows
#
# One-hot rows are the components. The last row is all three at a third each, in every block.

# %%
measured = {}
for name, row in {
    **dict(zip(names, torch.eye(3).tolist(), strict=True)),
    "even": [1 / 3] * 3,
}.items():
    hybrid.set_mixture_weights(row)
    measured[name] = {kind: mc.perplexity(hybrid, items) for kind, items in kinds.items()}


def table(measured):
    """Perplexities as a table: a row for each model, a column for each kind of text."""
    columns = [list(measured)]
    columns += [[f"{row[kind]:,.1f}" for row in measured.values()] for kind in kinds]
    header = ["perplexity", *kinds]
    figure = go.Figure(go.Table(header={"values": header}, cells={"values": columns}))
    return figure.update_layout(
        height=90 + 24 * len(measured), margin={"l": 0, "r": 0, "t": 10, "b": 0}
    )


table(measured)

# %% [markdown]
# The diagonal is good, and all else is noise. Even mixture weights are never as lost as the worst
# stranger, and nowhere near the specialist.
#
# ## The triangle
#
# With two components the mixture weights of a block are a point on a line, and a divider sets them. With
# three they are a point in a triangle: drag the point of a block, or set a row in a cell.

# %%
diagram = hybrid.mix(blend)
diagram

# %%
held_out = [blend.valid[i] for i in range(6)]
known = {}


def perplexity_at(row):
    """Perplexity on the blended text, with the same mixture weights in all blocks."""
    key = tuple(row)
    if key not in known:
        hybrid.set_mixture_weights(row)
        known[key] = mc.perplexity(hybrid, held_out)
    return known[key]


perplexity_at([1, 0, 0])

# %% [markdown]
# ## Exercise 1: the best compromise
#
# `perplexity_at(row)` gives all blocks the same row. Which row gives the lowest perplexity on the blended text: a corner (one
# component alone), an edge (two of them), or a point inside? Find a row that is as good as the best of
# ten points: the corners, the middle, and the thirds of each edge.

# %% tags=["exercise"]
best_row = ...  # three numbers that add up to one

# %% tags=["check"]
thirds = [[a / 3, b / 3, (3 - a - b) / 3] for a in range(4) for b in range(4 - a)]
landscape = [perplexity_at(row) for row in thirds]
check(
    best_row,
    lambda row: perplexity_at(row) < 1.02 * min(landscape),
    right=f"The best of the ten points has {min(landscape):,.0f}, the worst {max(landscape):,.0f}.",
    wrong=lambda row: (
        f"That row has {perplexity_at(row):,.0f}; the best of the ten points has "
        f"{min(landscape):,.0f}."
    ),
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# best_row = min(thirds, key=perplexity_at)
# best_row, perplexity_at(best_row)
# ```
#
# It is on an edge: two thirds of `tales-neox`, one third of `novelas-mamba`, and no `stdlib-llama` at all.
# One row for everything has to give something up. Here it gives up Python, on which `tales-neox` does
# less badly than anyone does on Spanish without `novelas-mamba`.
# </details>

# %%
a, b, c = zip(*thirds, strict=True)
points = go.Scatterternary(
    a=a,
    b=b,
    c=c,
    mode="markers+text",
    text=[f"{value:,.0f}" for value in landscape],
    textposition="top center",
    marker={"size": 16, "color": torch.tensor(landscape).log().tolist(), "colorscale": "Viridis"},
)
axes = {f"{axis}axis": {"title": name} for axis, name in zip("abc", names, strict=True)}
go.Figure(points).update_layout(ternary=axes, height=420, title="Perplexity on the blended text")

# %% [markdown]
# Darker is better. Even the best point of the triangle is useless: no single row is right for a text of three kinds.
#
# ## A row for each token
#
# So let every token have its own. `steps=0` only fits the router: each component scores some training
# text, and the router learns which one will predict the next few tokens best. Nobody tells it what is
# English, Spanish or Python, and no other weight changes.

# %%
hybrid.set_mixture_weights([1 / 3, 1 / 3, 1 / 3])
run = mc.search(
    hybrid,
    blend,
    strategy="routed",
    steps=0,
    router={"threshold": 0.3, "fit_sequences": FIT},
    eval_batches=2,
)
run.watch()

# %%
run.wait()
routed = run.hybrid()
measured["routed"] = {kind: mc.perplexity(routed, items) for kind, items in kinds.items()}
table(measured)

# %%
routed.show_text(
    "Once upon a time there was a fox who lived in the woods. Había una vez un zorro que vivía en el "
    "bosque.\n\ndef names(self):\n    return [name for name in self.names]\n"
)

# %% [markdown]
# ## Exercise 2: a line for everyone
#
# Write a text of at most 200 characters in which each of the three components reads at least six tokens.
# A component reads a token where its mixture weight, the mean over the blocks, is the greatest.

# %% tags=["exercise"]
line = ...  # "..."


# %% tags=["check"]
def read_by(text):
    """Number of tokens that each component reads."""
    readers = routed.mixture_of(text).mean(dim=1).argmax(dim=-1)  # (T,)
    return {name: int((readers == k).sum()) for k, name in enumerate(names)}


check(
    line,
    lambda text: len(text) <= 200 and min(read_by(text).values()) >= 6,
    right="All three are at work. routed.show_text(line) draws it.",
    wrong=lambda text: f"Tokens of each component: {read_by(text)} ({len(text)} characters).",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# line = (
#     "The old queen lived in a small house near the forest. "
#     "La reina vivía en una casa y no tenía miedo.\n"
#     "    if self.name is None:\n        raise ValueError(name)"
# )
# read_by(line)
# ```
#
# The router has a memory, and needs a few words to change its mind: three isolated words would not do.
# </details>

# %% [markdown]
# ## Exercise 3: what does a token need?
#
# A component whose mixture weight is 0 at a token does not run there, and `threshold=0.3` sets all
# weights below 0.3 to 0. `routed.mixture_of(ids)` has the mixture weights, (tokens, blocks, components).
# On the tokens `ids`: how many components does a token need, on average over tokens and blocks?

# %%
ids = torch.cat([item["input_ids"] for item in held_out])
ids.shape

# %% tags=["exercise"]
components_per_token = ...  # a number from 1 to 3

# %% tags=["check"]
needed = float((routed.mixture_of(ids) > 0).sum(dim=-1).float().mean())
sizes = torch.tensor([sum(p.numel() for p in model.parameters()) for model in hybrid.components])
check(
    components_per_token,
    lambda answer: abs(answer - needed) < 0.02,
    right=f"{needed:.2f} of 3: a token meets about {needed * sizes.float().mean() / 1e6:.1f} of the "
    f"{sizes.sum() / 1e6:.1f} million parameters of all components.",
    wrong="Count the weights above 0 along the last axis, then take the mean over the rest.",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# weights = routed.mixture_of(ids)
# components_per_token = float((weights > 0).sum(dim=-1).float().mean())
# components_per_token
# ```
#
# Hardly more than one. The hybrid has the knowledge of three models, and a token costs little more than
# in one of them.
# </details>

# %% [markdown]
# Does the threshold cost anything? The same router with others:

# %%
settings = routed.mixture.settings
thresholds = {}
for threshold in [0.0, 0.1, 0.2, 0.3, 0.45]:
    routed.mixture.settings = replace(settings, threshold=threshold)
    running = float((routed.mixture_of(ids) > 0).sum(dim=-1).float().mean())
    thresholds[threshold] = {"components": running, "perplexity": mc.perplexity(routed, held_out)}
routed.mixture.settings = settings
{threshold: {k: round(v, 2) for k, v in found.items()} for threshold, found in thresholds.items()}

# %% [markdown]
# A little of a component that is wrong is worse than none of it: the threshold makes the hybrid cheaper
# *and* better.
#
# ## Pruning: for a text of one kind
#
# On English stories alone, static mixture weights can decide. `prune_below` then takes a component out of a
# block for good, once its weight has stayed below the limit for `prune_steps` steps.

# %%
english = mc.load_text(
    "bundled:stories-en?n_stories=300", tokenizer=hybrid.tokenizer, seq_len=32, cache_dir="cache"
)
flat = mc.build_hybrid([f"zoo:{name}" for name in names], n_blocks=4, gate="flat")
pruning = mc.search(
    flat,
    english,
    steps=STEPS,
    batch_size=4,
    mixture_lr=0.1,
    mixture_schedule="constant",
    prune_below=0.2,
    prune_after=STEPS // 3,
    prune_steps=4,
    eval_every=STEPS,
    eval_batches=2,
    sample_prompt="",
)
pruning.watch()

# %%
pruned = pruning.wait().hybrid()
pruned.mixture_weights

# %%
blocks_left = int((pruned.mixture_weights > 0).sum())
print(f"{blocks_left} of 12 blocks are left.")
print(f"Perplexity on English stories: {pruning.metrics()['perplexity']:.2f}")

# %% [markdown]
# Seconds of processor time for 24 tokens, the better of two tries:


# %%
def seconds(model, prompt="Once upon a time"):
    """Processor time for 24 new tokens, the better of two tries."""
    tokens = hybrid.tokenizer(prompt, return_tensors="pt")
    found = []
    for _ in range(2):
        began = process_time()
        model.generate(**tokens, max_new_tokens=24, min_new_tokens=24, do_sample=False)
        found.append(process_time() - began)
    return round(min(found), 2)


hybrid.set_mixture_weights([1 / 3, 1 / 3, 1 / 3])
{"all three": seconds(hybrid), "pruned": seconds(pruned), "routed": seconds(routed)}

# %% [markdown]
# ## What was seen
#
# - No point of the triangle is right for a text of three kinds; a row for each token is.
# - A token of the routed hybrid needs hardly more than one component, and takes about as long as one
#   with the pruned hybrid. What a component has missed, it reads in one batch when it is needed again.
# - Pruning is for good, and for a text of one kind. Then the component that knows that text is what is
#   left of the hybrid.
# - Next: [components of your own](08-bring-your-own.ipynb), and [questions that are open](09-lab.ipynb).
