"""Data sets as a causal language model's loss takes them, seeds, and accuracy."""

import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from manticore.hybrid.reconstruction import ReconstructionDecoder
from manticore.tasks import TASKS, Setting, TaskData, count_correct, find_task, make_task


def tiny(task: str, **options: int) -> Setting:
    return Setting(
        task=task, **{**find_task(task).quick, "train_examples": 64, "test_examples": 64} | options
    )


NEXT_TOKEN = [name for name in TASKS if not find_task(name).reconstructs]


def oracle(data: TaskData) -> torch.Tensor:
    """Logits of a causal model that knows every answer, and before it nothing else."""
    answers = torch.nn.functional.pad(data.test.labels[:, 1:], (0, 1)).clamp(min=0)
    return torch.nn.functional.one_hot(answers, data.setting.vocabulary).float()


@pytest.mark.parametrize("task", NEXT_TOKEN)
def test_answers_are_judged_where_they_are_due(task: str) -> None:
    data = make_task(task, tiny(task))
    logits = oracle(data)
    right, asked = count_correct(logits[:, :-1], data.test.labels[:, 1:])
    assert right == asked
    late = torch.roll(logits, 1, dims=1)
    right, asked = count_correct(late[:, :-1], data.test.labels[:, 1:])
    assert right < 0.9 * asked


@pytest.mark.parametrize("task", NEXT_TOKEN)
def test_a_causal_models_own_loss_is_the_loss_over_aligned_targets(task: str) -> None:
    data = make_task(task, tiny(task))
    config = GPTNeoXConfig(
        vocab_size=data.setting.vocabulary,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=data.length,
    )
    torch.manual_seed(0)
    model = GPTNeoXForCausalLM(config)
    for part in (data.train, data.test):
        batch = torch.utils.data.default_collate([part[i] for i in range(4)])
        output = model(**batch)
        logits, targets = output.logits[:, :-1], batch["labels"][:, 1:]
        expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        torch.testing.assert_close(output.loss, expected)


@pytest.mark.parametrize("task", NEXT_TOKEN)
def test_no_answer_stands_in_its_own_inputs_last_place(task: str) -> None:
    data = make_task(task, tiny(task))
    for part in (data.train, data.test):
        torch.testing.assert_close(part.input_ids[:, -1], part.input_ids[:, -2])
        assert (part.labels[:, 0] == -100).all()
        assert (part.labels[:, -1] != -100).all()  # the last probe is asked


@pytest.mark.parametrize("task", TASKS)
def test_seeds(task: str) -> None:
    def make(seed: int, **options: int) -> TaskData:
        return make_task(task, tiny(task, **options), seed)

    first, again, other = make(3), make(3), make(4)
    for part in ("train", "test"):
        ours, same, else_ = (getattr(data, part) for data in (first, again, other))
        assert torch.equal(ours.input_ids, same.input_ids)
        assert torch.equal(ours.labels, same.labels)
        assert not torch.equal(ours.input_ids, else_.input_ids)
    assert not torch.equal(first.train.input_ids, first.test.input_ids)
    more = make(3, train_examples=80)
    assert torch.equal(more.test.input_ids, first.test.input_ids)
    assert torch.equal(more.test.labels, first.test.labels)


def test_memorization_is_tested_on_the_map_it_trained_on() -> None:
    data = make_task("memorization")
    assert (len(data.train), len(data.test), data.length) == (256, 1_280, 33)
    asked = data.train.labels[:, 2::2]
    value_of = dict(
        zip(
            data.train.input_ids[:, :-1:2].flatten().tolist(), asked.flatten().tolist(), strict=True
        )
    )
    assert len(value_of) == 127
    keys, values = data.test.input_ids[:, :-1:2].flatten(), data.test.labels[:, 2::2].flatten()
    assert all(value_of[k] == v for k, v in zip(keys.tolist(), values.tolist(), strict=True))


def test_compression_is_learned_from_the_last_state_alone() -> None:
    data = make_task("compression", tiny("compression", vocabulary=4, length=3))
    assert data.head == "reconstruction"
    targets = data.train.labels[:, 1:]
    torch.testing.assert_close(targets, data.train.input_ids)
    torch.manual_seed(0)
    states = torch.nn.functional.one_hot(data.train.input_ids, 4).flatten(1).float()
    states = torch.nn.functional.pad(states, (0, 4))  # an encoder that keeps everything: (N, 16)
    decoder = ReconstructionDecoder(16, 4)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.02)
    for _ in range(150):
        logits = decoder(states, data.length)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert count_correct(logits, targets) == (targets.numel(), targets.numel())


def test_the_decoder_refuses_odd_widths() -> None:
    with pytest.raises(ValueError, match="width=7"):
        ReconstructionDecoder(7, 4)


def test_accuracy_counts_asked_positions_only() -> None:
    logits = torch.eye(3)[torch.tensor([[0, 1, 2, 2]])]
    targets = torch.tensor([[0, -100, 1, 2]])
    assert count_correct(logits, targets) == (2, 3)
    assert count_correct(logits, torch.full((1, 4), -100)) == (0, 0)
    with pytest.raises(ValueError, match=r"\(1, 4, 3\).*leave out"):
        count_correct(logits, targets[:, 1:])


def test_what_make_task_refuses() -> None:
    with pytest.raises(ValueError, match="Did you mean 'compression'"):
        make_task("compresion")
    with pytest.raises(ValueError, match="for the task memorization, not for compression"):
        make_task("compression", Setting(task="memorization"))
    with pytest.raises(ValueError, match="seed=-1"):
        make_task("compression", seed=-1)
