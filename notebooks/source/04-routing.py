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
#     minutes: 1.5
#     quick:
#       STEPS: 2
# ---

# %% [markdown]
# # 4 · Mixture weights that follow the text
#
# One row of mixture weights per block, the same for every word: on a text in two languages that can
# only be a compromise. Let every word have rows of its own. A **router** decides them: a small
# recurrent network that reads the text from left to right and knows nothing but the words so far.
#
# **Guess before you run anything:** nobody labels the languages, and no weight of the two models is
# changed. At even mixture weights the perplexity is about 200. How far down can a router alone get it?
#
# *About a minute on two cores, without a network.*

# %% tags=["parameters"]
STEPS = 20

# %%
from itertools import groupby

import manticore as mc
from manticore.hybrid.generation import sample_text
from manticore.views.plots.theme import new_figure
from manticore.workshop import check

# %% [markdown]
# ## Before: the same for every word

# %%
hybrid = mc.build_hybrid(["zoo:tales-neox", "zoo:novelas-mamba"], n_blocks=4)
text = mc.load_text("bundled:stories-mixed?n_stories=300", tokenizer=hybrid.tokenizer, seq_len=128)

measured = {}
for name, row in {"novelas-mamba": [0, 1], "tales-neox": [1, 0], "even": [0.5, 0.5]}.items():
    hybrid.set_mixture_weights(row)
    measured[name] = mc.perplexity(hybrid, text.valid, max_batches=2)
    print(f"{name}: perplexity {measured[name]:,.0f}")

# %% [markdown]
# A text in two languages, in the colors of the components that read it. With static mixture weights,
# all words look the same:

# %%
SWITCHING = (
    "Once upon a time there was a fox. Había una vez un zorro que vivía en el bosque. "
    "The fox said good morning."
)
hybrid.show_text(SWITCHING)

# %% [markdown]
# ## Fit a router, then search
#
# `strategy="routed"` begins by *fitting*: both components read 96 sequences, each alone, and the router
# learns which of them will predict the next four tokens better. That is all; the perplexity at step 0
# is measured right after it. The steps that follow train everything together.

# %%
router = {"threshold": 0.3, "window": 4, "fit_sequences": 96}
run = mc.search(
    hybrid, text, "routed", STEPS, router=router, batch_size=4, eval_every=10, eval_batches=4
)
run.watch()

# %% [markdown]
# ## Exercise 1: what is the router alone worth?
#
# With the fitted router, before any step of training: is the perplexity about 100, 20 or 2?

# %% tags=["exercise"]
fitted = ...  # 100, 20 or 2

# %% tags=["check"]
run.wait()
found = {e["step"]: e["metrics"]["perplexity"] for e in run.events() if e["kind"] == "eval"}
check(
    fitted,
    lambda guess: guess == min([100, 20, 2], key=lambda choice: abs(choice - found[0])),
    right=f"{found[0]:.2f} at step 0, {found[STEPS]:.2f} at step {STEPS}.",
    wrong="Remember that each component is good at its own language. Look at the run's figures.",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# fitted = 2
# ```
#
# All that had to be learned is whose turn it is. Each component knows its own language already, and
# where it has all of the mixture weight, the other one does not disturb it.
# </details>

# %%
measured |= {"fitted router": found[0], f"after {STEPS} steps": found[STEPS]}
figure = new_figure(height=320)
figure.add_bar(
    x=list(measured),
    y=list(measured.values()),
    text=[f"{value:,.2f}" if value < 100 else f"{value:,.0f}" for value in measured.values()],
    marker_color=["#8a94a3"] * 3 + ["#0d7a5b"] * 2,
    showlegend=False,
)
lowest = {"x": list(measured), "y": [1.5] * 5, "mode": "lines", "line_dash": "dash"}
figure.add_scatter(**lowest, name="lowest possible: 1.50", showlegend=True)
figure.update_yaxes(type="log", title="perplexity, lower is better")
figure

# %% [markdown]
# ## Who reads which word?

# %%
routed = run.hybrid()
routed.show_text(SWITCHING)

# %% [markdown]
# The stronger the color, the greater the mixture weight; point at a word for the numbers. The same
# hybrid also writes, and stays in the language that it was given:

# %%
routed.show_text(sample_text(routed, "Once upon a time", 40))

# %%
routed.show_text(sample_text(routed, "Había una vez", 40))

# %% [markdown]
# ## Exercise 2: make it switch
#
# Write a text of your own that the router gives first to `tales-neox`, then to `novelas-mamba`, then to
# `tales-neox` again, and perhaps on. `routed.show_text(mine)` shows what it does with it.

# %% tags=["exercise"]
mine = ...  # a text


# %% tags=["check"]
def stretches(words):
    """Who reads a text, as (component, number of tokens) for each stretch."""
    english = routed.mixture_of(words)[:, :, 0].mean(dim=1)  # one share per token
    readers = ["tales-neox" if share > 0.5 else "novelas-mamba" for share in english]
    return [(name, len(list(same))) for name, same in groupby(readers)]


check(
    mine,
    lambda words: len(stretches(words)) >= 3 and stretches(words)[0][0] == "tales-neox",
    right=f"It switches there and back: {stretches(mine) if isinstance(mine, str) else ''}.",
    wrong=lambda words: f"The stretches are {stretches(words)}: make both languages longer.",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# mine = "There was a queen. Vivía en una casa de piedra con su abuela. One day she went to the river."
# routed.show_text(mine)
# ```
#
# The router has read nothing but stories. A language that neither component knows, or a single foreign
# word, may go either way.
# </details>

# %% [markdown]
# ## Exercise 3: how late is it?
#
# Look at `SWITCHING` again. Its last sentence, *The fox said good morning.*, is English, and the last
# six tokens are ` The`, ` fox`, ` said`, ` good`, ` morning` and `.`. How many of them does the Spanish
# component still read? Use `routed.mixture_of(SWITCHING)`, which has one number per token, block and
# component.

# %% tags=["exercise"]
late = ...  # a number of tokens

# %% tags=["check"]
last = routed.mixture_of(SWITCHING)[-6:, :, 0].mean(dim=1)  # share of tales-neox, block mean
check(
    late,
    lambda count: count == int((last < 0.5).sum()),
    right="Share of tales-neox: " + ", ".join(f"{share:.2f}" for share in last) + ".",
    wrong="Count the tokens among the last six where novelas-mamba has more than half.",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# late = int((routed.mixture_of(SWITCHING)[-6:, :, 1].mean(dim=1) > 0.5).sum())
# late
# ```
#
# One English word does not outweigh the Spanish that the router remembers, and it cannot look ahead.
# The Spanish sentence is quicker: its first token, ` H`, could be English, but the next one, `abía`,
# decides.
# </details>

# %%
ids = hybrid.tokenizer(SWITCHING)["input_ids"]
tokens = [hybrid.tokenizer.decode([i]) for i in ids]
shares = routed.mixture_of(SWITCHING).mean(dim=1)  # (tokens, components)
figure = new_figure(height=280)
for k, name in enumerate(hybrid.component_names):
    figure.add_bar(x=list(range(len(ids))), y=shares[:, k].tolist(), name=name)
figure.update_layout(barmode="stack", bargap=0.05)
figure.update_xaxes(tickvals=list(range(len(ids))), ticktext=tokens, tickangle=-60)
figure.update_yaxes(title="mixture weight")
figure

# %% [markdown]
# ## Exercise 4: what does it cost?
#
# At even mixture weights both components run at every token. Here, a mixture weight below the
# `threshold` of 0.3 counts as zero, and at a token where it is zero a component need not run. On
# held-out text, how many components run at a token on average? Round to tenths.

# %% tags=["exercise"]
running = ...  # between 1 and 2

# %% tags=["check"]
alpha = [routed.mixture_of(text.valid[i]["input_ids"]) for i in range(16)]
mean = sum((rows > 0).float().sum(dim=2).mean().item() for rows in alpha) / len(alpha)
check(
    running,
    lambda number: round(number, 1) == round(mean, 1),
    right=f"{mean:.3f} of 2: the router is sure nearly everywhere.",
    wrong="Look at the bars above: at how many tokens do both components have some weight?",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# running = 1.0
# ```
#
# At nearly every token one component is enough, and the other one sleeps.
# </details>

# %% [markdown]
# In time, [measured before](../docs/results/decoding.md) with these two components: a token that the
# hybrid writes takes 1.12 times as long as one of the GPT-NeoX alone, and 0.92 times as long as one of
# the Mamba, as long as the text stays with that component. When it changes over, the other component
# first catches up on what it has missed, in one batch: after 512 tokens that costs about as much as
# seven written tokens.

# %% [markdown]
# ## What was seen
#
# - The components know their languages, and a router finds out whose turn it is. Fitted in less than a
#   minute, with no other weight changed, it is worth more than 200 steps of a static search that trains
#   everything ([2.03 against 2.11](../docs/results/routing-stories-mixed.md)).
# - It reads the words so far, and so it is late by a word or two where the language changes.
# - Where a text is of one kind there is nothing to route: on English alone, such a hybrid is [level with
#   its English component after the same number of
#   steps](../docs/results/routing-wikitext2.md), and behind it at equal compute.
# - Next: what can blocks do, and can mixture weights be found without the text
#   ([5](05-mad-and-programming.ipynb))? And when does a hybrid win ([6](06-does-a-hybrid-win.ipynb))?
