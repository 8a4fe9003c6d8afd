"""A hybrid among the tools that work with any causal language model of Transformers."""

import copy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
import torch
from accelerate import Accelerator
from transformers import (
    AutoModelForCausalLM,
    TextIteratorStreamer,
    Trainer,
    TrainingArguments,
    pipeline,
)

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.hybrid.mixture import Mixture
from manticore.hybrid.routing import RouterSettings
from tests.tiny import TEXT, VOCAB_SIZE, save_component

Component = Callable[..., str]

SHORT_TEXT = " ".join(TEXT) * 8
GREEDY = {"max_new_tokens": 5, "do_sample": False}
LENGTH = 12


def _ids(rows: int = 2, below: int = VOCAB_SIZE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randint(2, below, (rows, LENGTH), generator=generator)


def _build(folders: list[str], **options: object) -> ManticoreForCausalLM:
    return build_hybrid(
        folders, 2, projector_init="random", alignment_text=SHORT_TEXT, seed=3, **options
    )


@pytest.fixture(params=["static", "routed"])
def hybrid(component: Component, request: pytest.FixtureRequest) -> ManticoreForCausalLM:
    """Mamba beside a wider Llama, with either kind of mixture."""
    hybrid = _build([component("mamba"), component("llama", width=48, layers=3)])
    return _routed(hybrid) if request.param == "routed" else hybrid


def _routed(hybrid: ManticoreForCausalLM) -> ManticoreForCausalLM:
    """The same with a router, which leaves out a component at some tokens."""
    torch.manual_seed(3)
    mixture = hybrid.add_router(RouterSettings(width=8, threshold=0.3))
    torch.nn.init.normal_(mixture.weight, std=20.0)
    mixture.requires_grad_(False)
    return hybrid


@pytest.fixture
def attention_hybrid(component: Component) -> ManticoreForCausalLM:
    """Nothing recurrent."""
    return _build([component("gpt_neox"), component("llama", width=48, layers=3)])


# Loading and saving -----------------------------------------------------------------------------


def _dtypes(hybrid: ManticoreForCausalLM) -> set[torch.dtype]:
    return {p.dtype for name, p in hybrid.named_parameters() if "mixture." not in name}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_loads_in_the_type_asked_for(
    hybrid: ManticoreForCausalLM, dtype: torch.dtype, tmp_path: Path
) -> None:
    hybrid.save_pretrained(tmp_path)
    loaded = ManticoreForCausalLM.from_pretrained(tmp_path, dtype=dtype)
    assert _dtypes(loaded) == {dtype}
    assert loaded.mixture_weights.dtype in (torch.float32, torch.float64)
    with torch.no_grad():
        rough, exact = loaded(_ids()).logits.float(), hybrid(_ids()).logits
    assert torch.nn.functional.cosine_similarity(rough, exact, dim=-1).min() > 0.99


def test_half_precision_survives_saving_to_the_last_bit(
    component: Component, tmp_path: Path
) -> None:
    hybrid = _build(
        [component("mamba"), component("gpt_neox", width=48)], dtype=torch.bfloat16, head="new"
    )
    assert _dtypes(hybrid) == {torch.bfloat16}
    tables = [b for name, b in hybrid.named_buffers() if "inv_freq" in name]
    assert tables
    assert {table.dtype for table in tables} == {torch.float32}
    hybrid.save_pretrained(tmp_path)
    loaded = ManticoreForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert _dtypes(loaded) == {torch.bfloat16}
    with torch.no_grad():
        assert torch.equal(loaded(_ids()).logits, hybrid(_ids()).logits)


@pytest.mark.parametrize("device_map", ["cpu", {"": "cpu"}])
def test_loads_with_a_device_map(
    hybrid: ManticoreForCausalLM, device_map: object, tmp_path: Path
) -> None:
    hybrid.save_pretrained(tmp_path)
    loaded = ManticoreForCausalLM.from_pretrained(tmp_path, device_map=device_map)
    with torch.no_grad():
        assert torch.equal(loaded(_ids()).logits, hybrid(_ids()).logits)


def test_attention_is_set_where_there_is_any(hybrid: ManticoreForCausalLM, tmp_path: Path) -> None:
    hybrid.save_pretrained(tmp_path)
    loaded = ManticoreForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    mamba, llama = loaded.components
    assert llama.config._attn_implementation == "eager"
    with torch.no_grad():
        torch.testing.assert_close(loaded(_ids()).logits, hybrid(_ids()).logits)
    loaded.set_attn_implementation("sdpa")
    assert llama.config._attn_implementation == "sdpa"
    assert mamba.config._attn_implementation == "eager"


def test_attention_that_no_component_has_is_an_error(component: Component) -> None:
    with pytest.raises(ValueError, match=r"No component takes the attention 'sdpa'"):
        _build([component("mamba")]).set_attn_implementation("sdpa")


def test_loads_in_a_fresh_process_without_its_components(tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    folders = [
        str(save_component(parts / "m", "mamba")),
        str(save_component(parts / "g", "gpt2", width=48)),
    ]
    hybrid = _build(folders)
    folder = tmp_path / "sharded"
    hybrid.save_pretrained(folder, max_shard_size="30KB")
    assert len(list(folder.glob("*.safetensors"))) > 3
    torch.save(hybrid(_ids()).logits.detach(), tmp_path / "logits.pt")
    shutil.rmtree(parts)
    script = (
        "import sys, torch\n"
        "import manticore.hybrid\n"
        "from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer\n"
        f"folder, ids = {str(folder)!r}, torch.tensor({_ids().tolist()})\n"
        "torch.set_num_threads(1)\n"
        "assert AutoConfig.from_pretrained(folder).n_blocks == 2\n"
        "hybrid = AutoModelForCausalLM.from_pretrained(folder)\n"
        "assert AutoTokenizer.from_pretrained(folder).get_vocab() == hybrid.tokenizer.get_vocab()\n"
        f"assert torch.equal(hybrid(ids).logits, torch.load({str(tmp_path / 'logits.pt')!r}))\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_loads_from_a_subfolder_with_its_tokenizer(
    hybrid: ManticoreForCausalLM, tmp_path: Path
) -> None:
    hybrid.save_pretrained(tmp_path / "best")
    loaded, report = ManticoreForCausalLM.from_pretrained(
        str(tmp_path), subfolder="best", output_loading_info=True
    )
    assert loaded.tokenizer.get_vocab() == hybrid.tokenizer.get_vocab()
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]


def test_a_deep_copy_is_whole_and_apart(hybrid: ManticoreForCausalLM) -> None:
    with torch.no_grad():
        before = hybrid(_ids()).logits
        twin = copy.deepcopy(hybrid)
        for parameter in hybrid.parameters():
            parameter.zero_()
        assert torch.equal(twin(_ids()).logits, before)
        assert torch.equal(twin.generate(_ids(), **GREEDY), twin.generate(_ids(), **GREEDY))


# Vocabulary -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_tokens", [VOCAB_SIZE + 14, 50])
@pytest.mark.parametrize("head", ["mixed", "new"])
@pytest.mark.parametrize("family", ["gpt2", "gpt_neox"])  # tied, not tied
@torch.no_grad()
def test_resized_embeddings(
    component: Component, family: str, head: str, n_tokens: int, tmp_path: Path
) -> None:
    hybrid = _routed(_build([component(family), component("mamba", width=48)], head=head))
    ids = _ids(below=50)
    kept = min(n_tokens, hybrid.config.vocab_size)
    before = hybrid(ids).logits
    hybrid.resize_token_embeddings(n_tokens)
    after = hybrid(ids).logits
    assert after.shape[-1] == hybrid.config.vocab_size == n_tokens
    torch.testing.assert_close(after[..., :kept], before[..., :kept])
    model = hybrid.components[0]
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert tied == (family == "gpt2")
    newest = torch.full_like(ids, n_tokens - 1)
    assert torch.isfinite(hybrid(newest, labels=newest).loss)
    hybrid.save_pretrained(tmp_path)
    loaded = ManticoreForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(loaded(newest).logits, hybrid(newest).logits)
    assert torch.equal(loaded.generate(ids, **GREEDY), hybrid.generate(ids, **GREEDY))


# Forward ----------------------------------------------------------------------------------------


@torch.no_grad()
def test_logits_to_keep_and_the_tuple(hybrid: ManticoreForCausalLM) -> None:
    ids = _ids()
    whole = hybrid(ids).logits
    torch.testing.assert_close(hybrid(ids, logits_to_keep=3).logits, whole[:, -3:])
    some = torch.tensor([1, 4])
    torch.testing.assert_close(hybrid(ids, logits_to_keep=some).logits, whole[:, some])
    loss, logits, cache = hybrid(ids, labels=ids, return_dict=False)
    assert torch.equal(logits, whole)
    assert cache.get_seq_length() == LENGTH
    assert loss == hybrid(ids, labels=ids).loss


@torch.no_grad()
def test_hidden_states_can_be_taken_up_again(hybrid: ManticoreForCausalLM) -> None:
    states = hybrid(_ids(), output_hidden_states=True).hidden_states
    assert [state.shape for state in states] == 3 * [(2, LENGTH, 48)]
    alpha = None
    if hybrid.is_routed:
        alpha = torch.stack([hybrid.mixture_of(ids) for ids in _ids()])
    again = hybrid(inputs_embeds=states[0], output_hidden_states=True, mixture_weights=alpha)
    torch.testing.assert_close(again.hidden_states[-1], states[-1])
    hybrid.config.output_hidden_states = True
    assert hybrid(_ids()).hidden_states is not None


@torch.no_grad()
def test_loss_leaves_out_minus_100_and_counts_items(hybrid: ManticoreForCausalLM) -> None:
    ids = _ids()
    labels = ids.clone()
    labels[:, :4] = -100
    log_probs = hybrid(ids).logits.log_softmax(-1)
    wanted = [-log_probs[b, t - 1, ids[b, t]] for b in range(2) for t in range(4, LENGTH)]
    total = sum(wanted)
    torch.testing.assert_close(hybrid(ids, labels=labels).loss, total / len(wanted))
    # As over gradient accumulation: the sum over the tokens of all micro-batches.
    loss = hybrid(ids, labels=labels, num_items_in_batch=torch.tensor(40)).loss
    torch.testing.assert_close(loss, total / 40)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"input_ids": None}, ValueError, "exactly one"),
        ({"inputs_embeds": torch.zeros(2, LENGTH, 48)}, ValueError, "exactly one"),
        ({"labels": _ids(), "logits_to_keep": 2}, ValueError, "all logits"),
        ({"output_attentions": True}, TypeError, "attention weights"),
        ({"token_type_ids": _ids()}, TypeError, "token_type_ids"),
    ],
)
def test_what_forward_refuses(
    hybrid: ManticoreForCausalLM, arguments: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        hybrid(**{"input_ids": _ids(), **arguments})


class _Drawn(Mixture):
    """Random mixture weights, as Gumbel-softmax gives: another draw on every call."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[torch.Tensor] = []

    def forward(self) -> torch.Tensor:
        self.drawn.append(torch.rand(2, 2).softmax(-1))
        return self.drawn[-1]


@torch.no_grad()
def test_a_pass_sees_one_draw_of_random_mixture_weights(hybrid: ManticoreForCausalLM) -> None:
    hybrid.mixture = mixture = _Drawn()
    torch.manual_seed(0)
    logits = hybrid(_ids()).logits
    (alpha,) = mixture.drawn
    assert not torch.equal(hybrid(_ids()).logits, logits)
    hybrid.set_mixture_weights(alpha)
    torch.testing.assert_close(hybrid(_ids()).logits, logits)


# Padding on the right ---------------------------------------------------------------------------


def _right_padded() -> tuple[torch.Tensor, torch.Tensor]:
    ids, mask = _ids(), torch.ones(2, LENGTH, dtype=torch.long)
    ids[0, 8:] = 1
    mask[0, 8:] = 0
    return ids, mask


@torch.no_grad()
def test_real_tokens_do_not_see_padding_on_their_right(hybrid: ManticoreForCausalLM) -> None:
    ids, mask = _right_padded()
    logits = hybrid(ids, attention_mask=mask).logits
    torch.testing.assert_close(logits[0, :8], hybrid(ids[:1, :8]).logits[0])
    torch.testing.assert_close(logits[1], hybrid(ids[1:]).logits[0])


@pytest.mark.parametrize("family", ["mamba", "gpt_neox"])
@torch.no_grad()
def test_padding_is_not_continued(component: Component, family: str) -> None:
    hybrid = _build([component(family), component("llama", width=48, layers=3)])
    ids, mask = _right_padded()
    with pytest.raises(ValueError, match="pad on the left"):
        hybrid.generate(ids, attention_mask=mask, **GREEDY)


# Generation -------------------------------------------------------------------------------------


def test_sampling_follows_the_seed(hybrid: ManticoreForCausalLM) -> None:
    def sample(seed: int, **options: object) -> list:
        torch.manual_seed(seed)
        return hybrid.generate(_ids(), max_new_tokens=8, do_sample=True, **options).tolist()

    assert sample(0) == sample(0)
    assert sample(0) != sample(1)
    assert sample(0) == sample(0, use_cache=False)


def test_generates_from_embeddings(hybrid: ManticoreForCausalLM) -> None:
    ids = _ids()
    mask = torch.ones_like(ids)
    from_ids = hybrid.generate(ids, attention_mask=mask, **GREEDY)
    embeddings = hybrid.get_input_embeddings()(ids)
    if hybrid.is_routed:
        with pytest.raises(ValueError, match="follow from the token ids: pass input_ids"):
            hybrid.generate(inputs_embeds=embeddings, attention_mask=mask, **GREEDY)
        return
    from_embeddings = hybrid.generate(inputs_embeds=embeddings, attention_mask=mask, **GREEDY)
    assert torch.equal(from_embeddings, from_ids[:, LENGTH:])


def test_assisted_decoding_is_refused(
    hybrid: ManticoreForCausalLM, attention_hybrid: ManticoreForCausalLM
) -> None:
    with pytest.raises(ValueError, match="stateful"):
        hybrid.generate(_ids(1), assistant_model=attention_hybrid, **GREEDY)


def test_pipeline_writes_what_generate_writes(hybrid: ManticoreForCausalLM) -> None:
    write = pipeline("text-generation", model=hybrid, tokenizer=hybrid.tokenizer)
    prompts = ["Once upon", "Where is the lantern? The fox"]
    batch = write(prompts, batch_size=2, **GREEDY)
    for prompt, written in zip(prompts, batch, strict=True):
        ids = hybrid.tokenizer(prompt, return_tensors="pt")
        alone = hybrid.tokenizer.decode(
            hybrid.generate(**ids, **GREEDY)[0], skip_special_tokens=True
        )
        assert written[0]["generated_text"] == alone


def test_streams_text(hybrid: ManticoreForCausalLM) -> None:
    ids = _ids(1)
    streamer = TextIteratorStreamer(hybrid.tokenizer, skip_prompt=True)
    options = {"streamer": streamer, "attention_mask": torch.ones_like(ids), **GREEDY}
    thread = Thread(target=hybrid.generate, args=(ids,), kwargs=options)
    thread.start()
    streamed = "".join(streamer)
    thread.join()
    options.pop("streamer")
    assert streamed == hybrid.tokenizer.decode(hybrid.generate(ids, **options)[0, LENGTH:])


# Training ---------------------------------------------------------------------------------------


def test_trainer_trains_and_saves(hybrid: ManticoreForCausalLM, tmp_path: Path) -> None:
    before = copy.deepcopy(hybrid.state_dict())
    examples = [{"input_ids": row, "labels": row} for row in _ids(8)]
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=2,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        gradient_checkpointing=True,
        learning_rate=1e-3,
        save_steps=2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(hybrid, arguments, train_dataset=examples, processing_class=hybrid.tokenizer)
    trainer.train()
    changed = {n.split(".")[0] for n, w in hybrid.state_dict().items() if not w.equal(before[n])}
    assert changed == {"components", "projectors"}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint-2")
    with torch.no_grad():
        assert torch.equal(loaded(_ids()).logits, hybrid.eval()(_ids()).logits)
    assert trainer.evaluate(examples)["eval_loss"] == pytest.approx(
        hybrid(_ids(8), labels=_ids(8)).loss.item(), rel=1e-4
    )


def test_accelerate_prepares_it(hybrid: ManticoreForCausalLM) -> None:
    accelerator = Accelerator(cpu=True)
    optimizer = torch.optim.SGD(hybrid.parameters(), lr=0.1)
    model, optimizer = accelerator.prepare(hybrid, optimizer)
    losses = []
    for _ in range(3):
        loss = model(input_ids=_ids(), labels=_ids()).loss
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert accelerator.unwrap_model(model) is hybrid


def test_mixture_weights_do_not_learn_after_loading(
    component: Callable[..., str], tmp_path: Path
) -> None:
    hybrid = build_hybrid([component("gpt_neox"), component("llama")], 2, projector_init="random")
    hybrid.save_pretrained(tmp_path)
    loaded = ManticoreForCausalLM.from_pretrained(tmp_path)
    learning = {name for name, p in loaded.named_parameters() if p.requires_grad}
    assert learning == {name for name, p in hybrid.named_parameters() if p.requires_grad}
