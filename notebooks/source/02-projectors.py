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
#     minutes: 2
#     quick:
#       STEPS: 5
#       TOKENS: [10, 256]
# ---

# %% [markdown]
# # 2 · Do two models speak one language?
#
# In a hybrid, the hidden state that leaves the blocks of one model enters a block of another. The two
# were trained apart: nobody has told them what the third number of a hidden state should mean.
# **Projectors** are the matrices in between.
#
# **Guess before you run anything:** how much text does it take to learn the translation from one
# model's hidden states to the other's? Ten tokens, ten thousand, or ten million?
#
# *A minute and a half on two cores, without a network.*

# %% tags=["parameters"]
STEPS = 40
TOKENS = [10, 32, 128, 256, 512, 1024, 2048, 4096]

# %%
import torch

import manticore as mc
from manticore.hybrid.alignment import align_projectors, boundary_states
from manticore.hybrid.generation import sample_text
from manticore.views.plots.theme import new_figure
from manticore.workshop import check

COMPONENTS = ["zoo:tales-neox", "zoo:novelas-mamba"]

# %% [markdown]
# ## Three ways to begin
#
# A hybrid can start with projectors of three kinds:
#
# - `identity` translates nothing. Where the widths differ (256 and 224 here), it pads or cuts.
# - `random` is a matrix of random numbers.
# - `aligned`, the default, looks at both models while they read the same 4,096 tokens, and fits by
#   least squares (ridge regression): which matrix turns the one hidden state into the other? No
#   gradient descent, a few seconds.

# %%
hybrids = {
    init: mc.build_hybrid(COMPONENTS, n_blocks=4, projector_init=init)
    for init in ["identity", "random", "aligned"]
}
tokenizer = hybrids["aligned"].tokenizer
text = mc.load_text("bundled:stories-mixed?n_stories=300", tokenizer=tokenizer, seq_len=128)

# %% [markdown]
# `mc.alignment_error` measures a translation on held-out text. It compares what enters a block of the
# hybrid with what that block sees when its model runs alone. **0 is perfect, and 1 is as bad as always
# handing over the mean.**

# %%
held_out = torch.stack([text.valid[i]["input_ids"] for i in range(16)])
errors = {init: mc.alignment_error(hybrid, held_out).into for init, hybrid in hybrids.items()}

figure = new_figure(height=300)
for init, color in {"identity": "#8a94a3", "random": "#b23a33", "aligned": "#0d7a5b"}.items():
    by_block = errors[init].mean(dim=1).tolist()  # mean over the two components
    figure.add_bar(x=["1", "2", "3", "4"], y=by_block, name=init, marker_color=color)
figure.add_hline(y=1, line_dash="dash", annotation_text="the mean")
figure.update_xaxes(title="block")
figure.update_yaxes(title="error of what enters it")
figure

# %% [markdown]
# So the answer to the title is no: without a translation, what blocks 2 to 4 get is about as bad as
# the mean. And yet the two are close: one matrix per boundary translates most of what they say, a bit
# less in each later block. What is that worth in words? Both models count for half in every block:


# %%
def measure(hybrid):
    """Perplexity on held-out stories; lower is better."""
    return mc.perplexity(hybrid, text.valid, max_batches=2)


before = {}
for init, hybrid in hybrids.items():
    before[init] = measure(hybrid)
    print(f"{init}: perplexity {before[init]:,.0f}")
    print("   ", repr(sample_text(hybrid, "Once upon a time", 20, temperature=0)))

# %% [markdown]
# Aligned projectors are far ahead of the others. What the hybrid writes with them has words in it, but
# it is not a story.

# %% [markdown]
# ## Exercise 1: a translation for one mixture
#
# More weight for `tales-neox`, which is the better one on this text: that should help, shouldn't it?

# %%
aligned = hybrids["aligned"]
aligned.set_mixture_weights([0.7, 0.3])
stale = measure(aligned)
aligned.set_mixture_weights([0.5, 0.5])
print(f"even weights: {before['aligned']:.0f}, then 0.7 and 0.3: {stale:.0f}")

# %% [markdown]
# It hurts. The projectors were fitted to what the blocks hand over at *even* weights; now they get
# something else. Build a hybrid that has the weights 0.7 and 0.3 in every block and is better than at
# even weights. Nothing needs to be trained.

# %% tags=["exercise"]
better = ...  # a hybrid

# %% tags=["check"]
now = measure(better) if isinstance(better, mc.ManticoreForCausalLM) else float("nan")
check(
    better,
    lambda hybrid: (
        torch.allclose(hybrid.mixture_weights, torch.tensor([0.7, 0.3])) and now < before["aligned"]
    ),
    right=f"Perplexity {now:.0f} instead of {stale:.0f}, at the same mixture weights.",
    wrong="Set the weights before the projectors are fitted: what else does build_hybrid accept?",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# `build_hybrid` fits the projectors at the mixture weights that it is given.
#
# ```python
# better = mc.build_hybrid(COMPONENTS, n_blocks=4, mixture_weights=[0.7, 0.3])
# ```
#
# Weights that are set afterwards leave the projectors as they were. A search has the same problem:
# while it moves the mixture weights, the projectors have to follow.
# </details>

# %% [markdown]
# ## Exercise 2: ten tokens, or thousands?
#
# How much text does least squares need? The next cell fits the projectors again and again, on more and
# more tokens, and keeps what it finds.

# %%
hybrid = hybrids["random"]
error_at, perplexity_at = {}, {}
for n in TOKENS:
    ids = torch.cat([text.train[i]["input_ids"] for i in range(32)])[:n].view(-1, min(n, 128))
    align_projectors(hybrid, ids, boundary_states(hybrid, ids))
    error_at[n] = float(mc.alignment_error(hybrid, held_out).into.mean())
    perplexity_at[n] = measure(hybrid)

# %% [markdown]
# With more tokens the error on *held-out* text falls, in the end. But not from the start: with one of
# `TOKENS` it is greater than with any other. Which one? (A hidden state has 256 numbers.)

# %% tags=["exercise"]
worst = ...  # one of TOKENS

# %% tags=["check"]
check(
    worst,
    lambda n: error_at[n] == max(error_at.values()),
    right="Errors: " + ", ".join(f"{n} tokens {error:.2f}" for n, error in error_at.items()) + ".",
    wrong="Think of a line through two points: with how many does a fit just follow all noise?",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# worst = 256
# ```
#
# With as many tokens as unknowns in each row of the matrix, there is just one matrix that fits all of
# them, noise and all, and it needs huge numbers for that. With fewer tokens, ridge regression chooses
# the smallest of many; with more, the noise averages out. This peak is known as *double descent*.
# </details>

# %% [markdown]
# ## Exercise 3: what does training do to the translation?
#
# Least squares is a start. `mc.pretrain_projectors` trains the projectors on text by gradient descent,
# while the components stay frozen. It starts from the aligned hybrid and runs in a process of its own.

# %%
options = {"warmup_steps": 0, "eval_every": 10, "eval_batches": 2}
run = mc.pretrain_projectors(aligned, text, STEPS, **options)
run.watch()

# %% [markdown]
# While it runs, predict: compared with the aligned start, does perplexity go up or down? And the
# alignment error?

# %% tags=["exercise"]
prediction = ...  # {"perplexity": "up" or "down", "error": "up" or "down"}

# %% tags=["check"]
run.wait()
trained = run.hybrid()
perplexities = before["aligned"], measure(trained)
both = [float(mc.alignment_error(one, held_out).into.mean()) for one in (aligned, trained)]
seen = {
    "perplexity": "up" if perplexities[1] > perplexities[0] else "down",
    "error": "up" if both[1] > both[0] else "down",
}
check(
    prediction,
    lambda expected: dict(expected) == seen,
    right=f"Perplexity from {perplexities[0]:.0f} to {perplexities[1]:.1f}, "
    f"error from {both[0]:.2f} to {both[1]:.2f}.",
    wrong="One of the two is not as you say. Is the error what gradient descent looks at?",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# prediction = {"perplexity": "down", "error": "up"}
# ```
#
# Training follows the loss of the whole hybrid, and the loss does not care whether a block gets what
# it was used to. The projectors give up the faithful translation for one that is of use.
# </details>

# %%
for prompt in ["Once upon a time", "Hace muchos años"]:
    print(repr(sample_text(trained, prompt, 20, temperature=0)))

# %% [markdown]
# ## From 10 tokens to 5 million
#
# Least squares as you have just measured it, and training as [measured
# before](../docs/results/projectors.md), which takes much longer: the same two components, but 51,200
# held-out tokens of other stories, on which the aligned start has 301. So compare the shapes of the
# lines rather than single points.

# %%
RANDOM = {10_000: 844, 100_000: 59.6, 1_000_000: 2.31, 5_000_000: 1.98}
ALIGNED = {10_000: 72.9, 100_000: 3.61, 1_000_000: 2.02}

figure = new_figure(height=400)
for name, found, color in [
    ("least squares, measured here", perplexity_at, "#0d7a5b"),
    ("trained, from random", RANDOM, "#b23a33"),
    ("trained, from aligned", ALIGNED, "#7c5cd6"),
]:
    line = {"color": color, "width": 2.5}
    figure.add_scatter(
        x=list(found), y=list(found.values()), name=name, mode="lines+markers", line=line
    )
star = {"symbol": "star", "size": 13, "color": "#7c5cd6"}
figure.add_scatter(
    x=[STEPS * 8 * 128], y=[perplexities[1]], name="your run", mode="markers", marker=star
)
dashed = {"color": "#8a94a3", "dash": "dash", "width": 1.5}
for level, words in {before["identity"]: "no translation", 1.5: "lowest possible"}.items():
    figure.add_scatter(x=[10, 5_000_000], y=[level] * 2, name=words, mode="lines", line=dashed)
figure.update_xaxes(type="log", title="tokens that the projectors have seen")
figure.update_yaxes(type="log", title="perplexity, lower is better", dtick=1)
figure

# %% [markdown]
# A translation that is fitted on a few hundred tokens is worse than none. From about a thousand on,
# least squares is better, and then its line flattens. The rest takes gradient descent. The aligned
# start saves it almost nine tenths of the text at first (73 after 10,000 tokens, where a random start
# is at 60 after 100,000); after a million tokens little of the difference is left.

# %% [markdown]
# ## What was seen
#
# - Two models do not speak one language, but one matrix per boundary translates most of it, and a few
#   thousand tokens are enough to find it.
# - Such a translation holds at the mixture weights at which it was fitted, and not at others.
# - Less than a minute of training was worth more than all the least squares above, and what it found is
#   no longer a faithful translation.
# - Next: which mixture weights? By hand, then by search ([3](03-mixture-weights.ipynb)), and for every
#   word its own ([4](04-routing.ipynb)).
