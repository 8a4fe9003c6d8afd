"""Text as it is written: pieces, seeds, components alone, and a stop that ends the computation."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.hybrid import streaming
from manticore.hybrid.generation import sample_text
from manticore.hybrid.streaming import continue_text, stream

Component = Callable[..., str]

SAMPLING = {"temperature": 1.0, "top_p": 1.0}
GREEDY = {"temperature": 0.0, "top_p": 1.0}


@pytest.fixture(scope="module")
def hybrid(component: Component) -> ManticoreForCausalLM:
    """Of 64 learned positions; it never ends a text by itself."""
    parts = [component("gpt2"), component("mamba", width=24)]
    hybrid = build_hybrid(parts, n_blocks=2, projector_init="identity")
    hybrid.generation_config.suppress_tokens = [0, 1]
    return hybrid


def _writers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "generate"]


@contextmanager
def _counting(model: torch.nn.Module) -> Iterator[list[int]]:
    """The number of tokens of each forward pass."""
    passes: list[int] = []
    hook = model.register_forward_pre_hook(
        lambda _, args, kwargs: passes.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    yield passes
    hook.remove()


def test_pieces_grow_and_tell_their_ids(hybrid: ManticoreForCausalLM) -> None:
    pieces = list(stream(hybrid, "Once upon", max_new_tokens=12, **GREEDY))
    assert all(later.text.startswith(earlier.text) for earlier, later in pairwise(pieces))
    last = pieces[-1]
    assert len(last.ids) == 12
    assert last.prompt_ids == hybrid.tokenizer("Once upon")["input_ids"]
    assert hybrid.tokenizer.decode([*last.prompt_ids, *last.ids]) == "Once upon" + last.text
    assert "Once upon" + last.text == sample_text(hybrid, "Once upon", 12, temperature=0)
    assert last.left_out == 0
    assert not _writers()


def test_a_seed_gives_a_text_and_none_gives_others(hybrid: ManticoreForCausalLM) -> None:
    options = {"max_new_tokens": 20, **SAMPLING}
    expected = torch.random.get_rng_state()
    texts = [[*continue_text(hybrid, "Once", **options, seed=seed)][-1] for seed in (7, 7, 8)]
    assert texts[0] == texts[1] != texts[2]
    assert len({[*continue_text(hybrid, "Once", **options)][-1] for _ in range(3)}) == 3
    assert torch.equal(torch.random.get_rng_state(), expected)


@pytest.mark.parametrize("k", [0, 1])
def test_a_component_writes_as_the_hybrid_of_one_hot_mixture_weights(
    hybrid: ManticoreForCausalLM, k: int
) -> None:
    alone = [*stream(hybrid, "Once upon", max_new_tokens=12, component=k, **GREEDY)][-1]
    ids = torch.tensor([alone.prompt_ids])
    one_hot = torch.eye(2)[k].expand(2, 2)
    written = hybrid.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=12,
        do_sample=False,
        mixture_weights=one_hot,
    )
    assert written[0, ids.shape[1] :].tolist() == alone.ids


def test_a_component_that_there_is_not_is_named(hybrid: ManticoreForCausalLM) -> None:
    with pytest.raises(ValueError, match="component=2 is not one of the hybrid's 2"):
        next(stream(hybrid, "Once", max_new_tokens=2, component=2, **GREEDY))


def test_a_stop_ends_the_computation_and_keeps_what_is_written(
    hybrid: ManticoreForCausalLM,
) -> None:
    stop = threading.Event()
    with _counting(hybrid) as passes:
        pieces = stream(hybrid, "a", max_new_tokens=60, stop=stop, **SAMPLING)
        first = next(pieces)
        stop.set()
        last = [first, *pieces][-1]
    assert last.ids[: len(first.ids)] == first.ids
    # The prompt's pass gives the first token, and every other one token more.
    assert len(passes) == len(last.ids) < 60
    assert not _writers()


def test_a_stop_ends_the_wait_for_another_caller(hybrid: ManticoreForCausalLM) -> None:
    stop = threading.Event()
    with streaming._one_at_a_time, _counting(hybrid) as passes:
        pieces = stream(hybrid, "a", max_new_tokens=60, stop=stop, **SAMPLING)
        threading.Timer(0.05, stop.set).start()
        assert [piece.ids for piece in pieces] == [[]]
    assert not passes
    assert not _writers()


def test_a_long_text_is_read_from_its_last_tokens(hybrid: ManticoreForCausalLM) -> None:
    prompt = "the fox had a lantern " * 40
    last = [*stream(hybrid, prompt, max_new_tokens=8, **GREEDY)][-1]
    whole = hybrid.tokenizer(prompt)["input_ids"]
    assert last.prompt_ids == whole[-56:]
    assert last.left_out == len(whole) - 56


def test_a_reader_that_leaves_ends_the_thread(hybrid: ManticoreForCausalLM) -> None:
    text = continue_text(hybrid, "a", max_new_tokens=50, **SAMPLING)
    next(text)
    text.close()
    assert not _writers()


def test_a_failure_in_the_thread_reaches_the_reader(
    hybrid: ManticoreForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An id that no embedding has a row for.
    monkeypatch.setattr(hybrid.generation_config, "forced_bos_token_id", 10_000)
    monkeypatch.setattr(hybrid.generation_config, "forced_eos_token_id", 10_000)
    with pytest.raises(RuntimeError, match="could not be continued"):
        list(continue_text(hybrid, "a", max_new_tokens=5, **SAMPLING))
    assert not _writers()
