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
#     quick: {TOKENS: [256, 1024], TUNE: 1}
# ---

# %% [markdown]
# # 9 · The lab
#
# Six questions that the paper leaves open. Each has a reason in two sentences, a cell that runs in
# seconds and shows something, and a next step. The cells are yours to change: that is the point of
# this notebook.
#
# **Guess before you run anything:** the first half of a hybrid is one English model, the second half
# another one, equally good, and nothing is shared. Is it about as good as its halves?
#
# *About a minute on two cores, without a network.*

# %% tags=["parameters"]
TOKENS = [256, 512, 1024, 4096]
TUNE = 12

# %%
import plotly.graph_objects as go
import torch
from torch.utils.data import DataLoader

import manticore as mc
from manticore.runs.gallery import open_gallery
from manticore.workshop import check

neox, mamba, spanish = (
    mc.load_component(f"zoo:{name}") for name in ("tales-neox", "tales-mamba", "novelas-mamba")
)
tokenizer = neox.tokenizer
texts = {
    language: mc.load_text(
        f"bundled:stories-{code}?n_stories=300", tokenizer=tokenizer, seq_len=128
    )
    for language, code in {"English": "en", "Spanish": "es"}.items()
}
held_out = {language: [text.valid[i] for i in range(4)] for language, text in texts.items()}

hybrid = mc.build_hybrid([neox, mamba], n_blocks=4)


def perplexity(rows, model=hybrid, language="English"):
    """Perplexity on held-out stories at these mixture weights."""
    model.set_mixture_weights(rows)
    return mc.perplexity(model, held_out[language])


# %% [markdown]
# ## Project 1: which blocks want which family?
#
# A stack of one family has the same kind of layer at every depth, because nobody knew better. A hybrid
# can ask block by block.
#
# `tales-neox` and `tales-mamba` have read the same tales. `tales-mamba` gets a share of one block, and
# `tales-neox` has all the rest:

# %%
shares = [0.25, 0.5, 0.75]
cost = [
    [
        perplexity([[1 - share, share] if b == block else [1, 0] for b in range(4)])
        for block in range(4)
    ]
    for share in shares
]
figure = go.Figure(
    go.Heatmap(
        z=torch.tensor(cost).log().tolist(),
        x=[f"block {block + 1}" for block in range(4)],
        y=[f"{share:.0%}" for share in shares],
        text=[[f"{value:.2f}" for value in row] for row in cost],
        texttemplate="%{text}",
        colorscale="Blues",
        showscale=False,
    )
)
title = (
    f"Perplexity when tales-mamba has a share of one block (without it: {perplexity([1, 0]):.2f})"
)
figure.update_layout(height=260, title=title)

# %% [markdown]
# ## Exercise 1: do costs add up?
#
# Now share *two* blocks half and half. Which two cost the least? Guess from the figure, then measure.

# %% tags=["exercise"]
pair = ...  # two of 1, 2, 3, 4, such as (1, 4)

# %% tags=["check"]
from itertools import combinations

pairs = {
    chosen: perplexity([[0.5, 0.5] if b + 1 in chosen else [1, 0] for b in range(4)])
    for chosen in combinations(range(1, 5), 2)
}
check(
    pair,
    lambda chosen: pairs[tuple(sorted(chosen))] == min(pairs.values()),
    right=", ".join(f"{a} and {b}: {value:.2f}" for (a, b), value in pairs.items()),
    wrong="Another pair costs less: the cheapest blocks of the figure are a good guess.",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# found = {}
# for a in range(4):
#     for b in range(a + 1, 4):
#         rows = [[0.5, 0.5] if block in (a, b) else [1, 0] for block in range(4)]
#         found[a + 1, b + 1] = perplexity(rows)
# pair = min(found, key=found.get)
# pair, found
# ```
#
# The two in the middle: the first block also mixes the embeddings, and the last one the heads.
# </details>

# %% [markdown]
# **Next step:** train a little at each of these mixture weights (`mc.finetune`, 50 steps): does the
# order stay, or was it only that projectors are better in the middle?
#
# ## Project 2: a path that changes over
#
# The gate takes away a projector as a mixture weight goes to 1, because a component alone needs none.
# But where one block is all `tales-neox` and the next one all `tales-mamba`, it is taken away exactly where
# it is needed.
#
# The first two blocks belong to the one to the extent of a share, the last two to the other:

# %%
flat = mc.build_hybrid([neox, mamba], n_blocks=4, gate="flat")
shares = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
figure = go.Figure()
for name, model in {"the paper's gate": hybrid, "flat gate": flat}.items():
    found = [perplexity([[s, 1 - s]] * 2 + [[1 - s, s]] * 2, model) for s in shares]
    figure.add_scatter(x=shares, y=found, name=name, mode="lines+markers")
figure.update_layout(
    height=300,
    xaxis_title="share of tales-neox early, of tales-mamba late",
    yaxis_title="perplexity",
)
figure.update_yaxes(type="log")

# %% [markdown]
# At the right end the halves are two good models with nothing between them, and the perplexity is in the
# thousands, where each of them alone has less than 2. The flat gate only puts that off. A search along this
# path goes uphill. When early blocks were wanted to read Spanish and late ones to write English, [a
# search](../docs/results/translating.md) gave all of them to the writer.
#
# **Next step:** a gate that looks at the block before: pass a projector by only where both belong to the
# same component. `GATE_POWERS` in `manticore/hybrid/configuration.py` is where gates are kept.
#
# ## Project 3: projectors from how few tokens?
#
# The paper trains projectors on about 70 million tokens. In closed form a few thousand are the default here, and
# it is not known how far down one can go.

# %%
train = texts["English"].train
ids = torch.cat([train[i]["input_ids"] for i in range(34)])


def aligned_on(n_tokens):
    """Perplexity at even mixture weights, with projectors aligned on so many tokens of stories."""
    text = tokenizer.decode(ids[: n_tokens + 8])  # a few to spare
    model = mc.build_hybrid([neox, mamba], n_blocks=4, alignment_text=text)
    return perplexity([0.5, 0.5], model)


curve = {n_tokens: aligned_on(n_tokens) for n_tokens in TOKENS}
figure = go.Figure(go.Scatter(x=list(curve), y=list(curve.values()), mode="lines+markers"))
figure.update_layout(height=280, xaxis_title="tokens", yaxis_title="perplexity")
figure.update_xaxes(type="log").update_yaxes(type="log")

# %% [markdown]
# ## Exercise 2: the smallest that will do
#
# `aligned_on(n)` takes one or two seconds. What is the smallest multiple of 128 at which perplexity is below 20?

# %% tags=["exercise"]
enough = ...  # 128, 256, 384, ...

# %% tags=["check"]
check(
    enough,
    lambda n: n % 128 == 0 and aligned_on(n) < 20 <= aligned_on(n - 128),
    right=f"A map between states of {neox.model.config.hidden_size} and "
    f"{mamba.model.config.hidden_size} dimensions, from about twice as many tokens.",
    wrong=lambda n: (
        f"{n} tokens: {aligned_on(n):.1f}; {n - 128} tokens: {aligned_on(n - 128):.1f}."
    ),
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# enough = 256
# while aligned_on(enough) >= 20:
#     enough += 128
# enough
# ```
#
# More than the hidden states have dimensions, and still only a page of text.
# </details>

# %% [markdown]
# **Next step:** choose the tokens. Are 256 tokens of many stories better than 256 of one? Is random text as
# good? (`alignment_text` takes any text.)
#
# ## Project 4: when does programming transfer?
#
# Mixture weights from synthetic tasks are worth about half of a search on the text, or less
# ([measured](../docs/results/programming.md)). When they are worth anything is known beforehand to the
# extent that they [prefer the component that is better alone](../docs/results/transfer.md). The package
# bundles the results of all six tasks for `tales-neox` with `novelas-mamba`; the numbers are the mixture
# weights of `tales-neox`.

# %%
programmed = open_gallery("all-skills")
tasks = programmed.metrics()["tasks"]
first = [[row[0] for row in found["mixture_weights"]] for found in tasks.values()]
figure = go.Figure(
    go.Heatmap(
        z=first,
        x=[f"block {block + 1}" for block in range(4)],
        y=[f"{task} ({found['accuracy']:.0%})" for task, found in tasks.items()],
        texttemplate="%{z:.2f}",
        colorscale="RdBu",
        zmid=0.5,
        showscale=False,
    )
)
figure.update_layout(height=320, title="Share of tales-neox, and the accuracy of each task")

# %%
pair_hybrid = mc.build_hybrid([neox, spanish], n_blocks=4)
rows = programmed.hybrid().mixture_weights
{
    language: {
        "even": round(perplexity([0.5, 0.5], pair_hybrid, language)),
        "programmed": round(perplexity(rows, pair_hybrid, language)),
        "lead": round(mc.trust(programmed, texts[language]).lead, 2),
    }
    for language in texts
}

# %% [markdown]
# Before any training, the programmed mixture weights help with English and do harm to Spanish. The lead, the
# share of the better component above an even one, says so.
#
# **Next step:** the tasks do not know which language a text is in, so find one that does. A seventh task is one
# file in `manticore/tasks` and an entry in `manticore/names.py`.
#
# ## Project 5: does it keep what it knew?
#
# A hybrid that is fine-tuned on one of its two languages may forget the other. Where a router gives every token
# to one component, the component that sleeps gets no gradient.


# %%
def tune(model):
    """A few steps on English stories alone."""
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=5e-4)
    torch.manual_seed(0)
    batches = DataLoader(texts["English"].train, batch_size=4, shuffle=True)
    model.train()
    for _step, batch in zip(range(TUNE), batches, strict=False):
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


pair_hybrid.set_mixture_weights([0.5, 0.5])
for name, model in {
    "routed": open_gallery("english-and-spanish").hybrid(),
    "static": pair_hybrid,
}.items():
    before = {language: mc.perplexity(model, items) for language, items in held_out.items()}
    tune(model)
    for language, items in held_out.items():
        print(f"{name:8}{language}: {before[language]:9.2f} -> {mc.perplexity(model, items):9.2f}")

# %% [markdown]
# The routed hybrid stays nearly as it was, in both languages. The static one gets better in English and
# worse in Spanish.
#
# **Next step:** tune for longer, and with `mc.finetune(run, text, router_lr=...)`, so that the router may learn as
# well. Does it then give Spanish to the component that has just learned English?
#
# ## Project 6: learning from the context
#
# Attention can look up what stood earlier in a text, and a state space model has to have kept it. A hybrid
# has both, and it is not known what becomes of that at lengths that neither was trained on.
#
# A model that can copy from its context finds a passage easier the second time:

# %%
models = {"tales-neox": neox.model, "tales-mamba": mamba.model, "hybrid": hybrid}
hybrid.set_mixture_weights([0.5, 0.5])


@torch.no_grad()
def losses_of_two_readings(model, length):
    """Mean loss of a passage, and of the same passage directly after it, in nats per token."""
    passages = torch.stack([item["input_ids"][:length] for item in held_out["English"]])
    twice = torch.cat([passages, passages], dim=1)
    logits = model(twice).logits[:, :-1].log_softmax(-1)
    losses = -logits.gather(2, twice[:, 1:, None])[..., 0]
    return float(losses[:, : length - 1].mean()), float(losses[:, length:].mean())


for length in (16, 64, 128):
    for name, model in models.items():
        first, second = losses_of_two_readings(model, length)
        print(f"{length:4} tokens  {name:12} first {first:.2f}, second {second:.2f}")

# %% [markdown]
# A model that copies would be near 0 at the second reading. These are hardly better than at the first, or
# worse: small models of few texts have not learned to copy, and a hybrid of two that cannot does not either.
#
# **Next step:** let them learn it. `mc.program(hybrid, ["in-context-recall"], lengths=[32, 64, 128],
# target_length=256)` searches at several lengths and extrapolates to a greater one;
# [notebook 5](05-mad-and-programming.ipynb) has the tasks.
#
# ## What was seen
#
# - The middle of a hybrid is the place to share, and a page of text takes its projectors most of the way.
# - Between two components there has to be a projector, and the gate removes it.
# - What comes from synthetic tasks, and what a hybrid can do that its parts cannot, is open.
# - If you found something, write down the command: [results](../docs/results/README.md) are tables with the
#   command that measures them again.
