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
#     quick: {TRAIN: 4, HEAL: 2, ADAPT: 1}
# ---

# %% [markdown]
# # 8 · Bring your own model, and your own tools
#
# A component can be any causal language model in a folder of Transformers, and a hybrid is a model of
# Transformers itself. So both ends are open: models of your own go in, and what comes out works with
# the tools you know: `generate`, peft, accelerate, lm-eval.
#
# **Guess before you run anything:** your model has a tokenizer of its own. A hybrid has only one. Does
# a model that has to use the vocabulary of another still know what it knew?
#
# *About a minute on two cores, without a network.*

# %% tags=["parameters"]
TRAIN = 120
HEAL = 60
ADAPT = 15

# %%
import logging
import math
import warnings
from importlib.util import find_spec

import plotly.graph_objects as go
import torch
from tokenizers import ByteLevelBPETokenizer
from torch.utils.data import DataLoader
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

import manticore as mc
from manticore.components.tokenizers import transplant_report
from manticore.stories import generate_stories
from manticore.workshop import check

disable_progress_bar()
warnings.simplefilter("ignore", FutureWarning)
logging.getLogger("lm_eval").setLevel("ERROR")

# %% [markdown]
# ## From the hub
#
# With a network, an id is enough. These two share a tokenizer, and are about 130 and 160 million
# parameters large.

# %%
ONLINE = False  # True downloads about a gigabyte

if ONLINE:
    large = mc.build_hybrid(["EleutherAI/pythia-160m", "state-spaces/mamba-130m-hf"], n_blocks=6)
    print(large)

# %% [markdown]
# ## From a folder
#
# Without a network, we make a model. First its tokenizer, trained on Spanish stories:

# %%
stories = list(generate_stories("es", n_stories=300, seed=7))
bpe = ByteLevelBPETokenizer()
bpe.train_from_iterator(
    stories, vocab_size=1024, special_tokens=["<|endoftext|>"], show_progress=False
)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=bpe._tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>"
)
tokenizer.tokenize("Había una vez un zorro.")

# %% [markdown]
# Then the model itself: a small Qwen3 by Transformers, trained for a short while with plain PyTorch.
# (Other families take other names for some of these sizes; [which families
# work](../docs/families.md) lists 127.)

# %%
torch.manual_seed(0)
config = AutoConfig.for_model(
    "qwen3",
    vocab_size=len(tokenizer),
    hidden_size=96,
    intermediate_size=192,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=24,
    eos_token_id=tokenizer.eos_token_id,
)
model = AutoModelForCausalLM.from_config(config)
spanish = mc.load_text("bundled:stories-es?n_stories=600", tokenizer=tokenizer, seq_len=64)

optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
batches = DataLoader(spanish.train, batch_size=16, shuffle=True)
for _step, batch in zip(range(TRAIN), batches, strict=False):
    loss = model(**batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()

model.save_pretrained("my-qwen")
tokenizer.save_pretrained("my-qwen")
print(f"loss {loss.item():.2f} after {TRAIN} steps")

# %% [markdown]
# A folder with `config.json`, `model.safetensors` and a tokenizer is a component:

# %%
hybrid = mc.build_hybrid(["zoo:tales-neox", "my-qwen"], n_blocks=4)
hybrid

# %% [markdown]
# ## One tokenizer for all
#
# The hybrid has the tokenizer of its first component. `my-qwen` has been *transplanted*: for each token of
# the other vocabulary, it got the row of its own token with the same text where there is one, and the
# mean of the rows that spell the text where there is none.

# %%
print(hybrid.transplants["my-qwen"])
tokenizer.tokenize("Había una vez un zorro."), hybrid.tokenizer.tokenize("Había una vez un zorro.")

# %% [markdown]
# What did it cost? Perplexities over different vocabularies cannot be compared. Bits per byte of text
# can: lower is better.


# %%
def bits_per_byte(model, tokenizer, source="bundled:stories-es?n_stories=600", n=24):
    """Bits that a model needs for a byte of held-out text."""
    data = mc.load_text(source, tokenizer=tokenizer, seq_len=64)
    rows = [data.valid[i] for i in range(n)]
    n_bytes = sum(len(tokenizer.decode(row["input_ids"]).encode()) for row in rows)
    return math.log2(mc.perplexity(model, rows)) * 64 * n / n_bytes


hybrid.set_mixture_weights([0, 1])  # my-qwen alone, with the other vocabulary
cost = {
    "as it was": bits_per_byte(model, tokenizer),
    "transplanted": bits_per_byte(hybrid, hybrid.tokenizer),
}
cost

# %% [markdown]
# ## Exercise 1: the other way round
#
# With `tokenizer_from=1` the hybrid takes the tokenizer of `my-qwen`, and `tales-neox` is transplanted.
# `transplant_report(own, new)` says from the tokenizers alone how many rows are copied. What share of the
# rows of `tales-neox` would be copied, and is it larger or smaller than that of `my-qwen` above?

# %% tags=["exercise"]
share = ...  # from 0 to 1

# %% tags=["check"]
neox = mc.load_component("zoo:tales-neox")
other = transplant_report(neox.tokenizer, tokenizer).copied_share
check(
    share,
    lambda answer: abs(answer - other) < 0.01,
    right=f"{other:.0%} instead of {hybrid.transplants['my-qwen'].copied_share:.0%}. The next cell "
    "measures what that is worth.",
    wrong="transplant_report(own, new).copied_share, where `own` is the tokenizer of tales-neox.",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# own = mc.load_component("zoo:tales-neox").tokenizer
# share = transplant_report(own, tokenizer).copied_share
# share
# ```
#
# A small vocabulary has few tokens that a large one lacks.
# </details>

# %%
turned = mc.build_hybrid(
    ["zoo:tales-neox", "my-qwen"], n_blocks=4, tokenizer_from=1, mixture_weights=[1, 0]
)
english = "bundled:stories-en?n_stories=600"
{
    "tales-neox as it was": bits_per_byte(neox.model, neox.tokenizer, english),
    "transplanted": bits_per_byte(turned, turned.tokenizer, english),
}

# %% [markdown]
# A copied row is not yet a component that can read: it has never seen words cut up that way. So if you
# train a component for a hybrid, train it with the tokenizer of the others. If you have one already, train the
# hybrid for a while.
#
# ## accelerate: your own training loop
#
# A hybrid is a `torch.nn.Module`, so a loop is a loop. All weights learn but the mixture weights, which
# only a search moves.

# %%
from accelerate import Accelerator

hybrid.set_mixture_weights([0.5, 0.5])
text = mc.load_text("bundled:stories-mixed?n_stories=600", tokenizer=hybrid.tokenizer, seq_len=64)
held_out = [text.valid[i] for i in range(16)]
before = mc.perplexity(hybrid, held_out)

accelerator = Accelerator(cpu=True)
optimizer = torch.optim.AdamW(hybrid.parameters(), lr=1e-3)
batches = DataLoader(text.train, batch_size=8, shuffle=True)
training, optimizer, batches = accelerator.prepare(hybrid, optimizer, batches)
training.train()
losses = []
for _step, batch in zip(range(HEAL), batches, strict=False):
    loss = training(**batch).loss
    accelerator.backward(loss)
    accelerator.clip_grad_norm_(training.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())

hybrid.eval()
figure = go.Figure(go.Scatter(y=losses))
figure.update_layout(height=260, xaxis_title="step", yaxis_title="loss, nats per token")

# %%
print(f"perplexity {before:.1f} before, {mc.perplexity(hybrid, held_out):.1f} after")
hybrid.mixture_weights

# %% [markdown]
# ## Save, load, generate
#
# What is saved is a folder of Transformers like any other, with the components in it.

# %%
hybrid.save_pretrained("my-hybrid")
again = AutoModelForCausalLM.from_pretrained("my-hybrid")
ids = hybrid.tokenizer("Once upon a time", return_tensors="pt")
written = again.generate(**ids, max_new_tokens=40, do_sample=False)
print(type(again).__name__, "·", hybrid.tokenizer.decode(written[0]))

# %% [markdown]
# ## Exercise 2: adapters of peft
#
# LoRA trains two thin matrices next to each linear map, and leaves the rest alone; it comes with
# `pip install "manticore-hybrids[lora]"`. `lora_targets` names the maps of all components on which an
# adapter acts. What is the greatest rank at which the adapters have less than 5% of all parameters?

# %%
from peft import LoraConfig, get_peft_model

from manticore.hybrid import lora_targets


def adapted(rank):
    """A copy of the hybrid with adapters of this rank."""
    copy = AutoModelForCausalLM.from_pretrained("my-hybrid")
    config = LoraConfig(r=rank, target_modules=lora_targets(copy), task_type="CAUSAL_LM")
    return get_peft_model(copy, config)


adapted(2).print_trainable_parameters()

# %% tags=["exercise"]
rank = ...  # a whole number


# %% tags=["check"]
def percentage(rank):
    """Share of the parameters that learn with adapters of this rank, in percent."""
    learning, every = adapted(rank).get_nb_trainable_parameters()
    return 100 * learning / every


check(
    rank,
    lambda rank: percentage(rank) < 5 <= percentage(rank + 1),
    right="The adapters grow in proportion to their rank, the rest stays as large as it was.",
    wrong=lambda rank: (
        f"Rank {rank}: {percentage(rank):.2f}%. Rank {rank + 1}: {percentage(rank + 1):.2f}%."
    ),
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# one, every = adapted(1).get_nb_trainable_parameters()  # every includes the adapters
# rest = every - one
# rank = max(r for r in range(1, 100) if r * one / (rest + r * one) < 0.05)
# rank
# ```
#
# Adapters have parameters in proportion to their rank, so one measurement is enough.
# </details>

# %%
lora = adapted(4).train()
optimizer = torch.optim.AdamW([p for p in lora.parameters() if p.requires_grad], lr=3e-3)
for _step, batch in zip(range(ADAPT), batches, strict=False):
    lora(**batch).loss.backward()
    optimizer.step()
    optimizer.zero_grad()

merged = lora.merge_and_unload().eval()  # an ordinary hybrid again
print(
    f"perplexity {mc.perplexity(again, held_out):.1f} before, "
    f"{mc.perplexity(merged, held_out):.1f} with adapters"
)

# %% [markdown]
# ## Exercise 3: what lm-eval measures
#
# The evaluation harness compares log-likelihoods: how likely is each ending of a text? For *Once upon a* and
# the ending *time*, compute it by hand: the sum of the logarithms of the probabilities of the ending's
# tokens, each given all tokens before it.

# %%
context, ending = "Once upon a", " time"
hybrid.tokenizer(context + ending, return_tensors="pt")["input_ids"]

# %% tags=["exercise"]
log_likelihood = ...  # a negative number, from hybrid(...).logits

# %% tags=["check"]
ids = hybrid.tokenizer(context + ending, return_tensors="pt")["input_ids"]
with torch.no_grad():
    losses = hybrid(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
n_context = len(hybrid.tokenizer(context)["input_ids"])
wanted = float(losses[n_context - 1 :].sum())
check(
    log_likelihood,
    lambda answer: abs(answer - wanted) < 0.01,
    right=f"{wanted:.3f}, a probability of {math.exp(wanted):.1%}.",
    wrong="The logits at a position predict the token after it. Take log_softmax over the "
    "vocabulary, and only the ending's tokens.",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# ids = hybrid.tokenizer(context + ending, return_tensors="pt")["input_ids"]
# n = len(hybrid.tokenizer(context)["input_ids"])
# with torch.no_grad():
#     log_probabilities = hybrid(ids).logits[0].log_softmax(-1)
# log_likelihood = sum(
#     float(log_probabilities[i - 1, ids[0, i]]) for i in range(n, ids.shape[1])
# )
# log_likelihood
# ```
#
# The logits are one position behind: the first token of the ending is predicted at the last token of the
# context.
# </details>

# %% [markdown]
# The harness itself, if it is installed (`pip install "lm-eval[hf]"`), on two questions with two endings
# each. A whole benchmark is thousands of them, which need a network.

# %%
if find_spec("lm_eval"):
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(pretrained=hybrid, tokenizer=hybrid.tokenizer, batch_size=4)
    questions = [("Once upon a", " time", " fox"), ("Había una", " vez", " zorro")]
    requests = [
        Instance(request_type="loglikelihood", doc={}, arguments=(context, ending), idx=0)
        for context, *endings in questions
        for ending in endings
    ]
    for request, (value, _is_greedy) in zip(
        requests, harness.loglikelihood(requests, disable_tqdm=True), strict=True
    ):
        print(f"{value:8.3f}  {''.join(request.arguments)}")

# %% [markdown]
# ## What was seen
#
# - A folder or a hub id is a component. On the vocabulary of another, it forgets most of what it knew, even
#   where most of its rows were copied. A short training brings much of it back.
# - A hybrid is trained, saved, adapted and evaluated by the tools for any other model.
# - Next: [questions that nobody has answered](09-lab.ipynb).
