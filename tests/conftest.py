"""Fixtures that every test may use."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from manticore.runs import launch
from manticore.runs.spare import Spare
from manticore.stories import generate_stories
from tests import forked
from tests.tiny import save_component

# How long an example takes is the machine's affair.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


END = "<|endoftext|>"
START_PROCESS = launch.start_process
START_FRESH = launch.start_fresh_process
WARM = Spare.warm


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First what takes longest: the other process has tests left to steal meanwhile."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)


def pytest_sessionstart() -> None:
    """What the tests import stays: the collector would look through it again and again."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Nor need it look through what was imported while the tests run: each training collects."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE of 600 entries: restores every text."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(generate_stories("mixed", n_stories=60), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END)


@pytest.fixture(autouse=True, scope="session")
def _forked_workers() -> Iterator[None]:
    """Runs that tests start have workers that need not import everything again."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(launch, "start_process", forked.start_process)
        patched.setattr(launch, "start_fresh_process", forked.start_process)
        patched.setattr(Spare, "warm", lambda self: None)
        yield


@pytest.fixture
def fresh_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers start as outside of tests: by an interpreter of their own."""
    monkeypatch.setattr(launch, "start_process", START_PROCESS)
    monkeypatch.setattr(launch, "start_fresh_process", START_FRESH)
    monkeypatch.setattr(Spare, "warm", WARM)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def component(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """`component(family, width=..., layers=..., seed=...)`: folder of a saved tiny component."""
    made: dict[tuple, Path] = {}

    def make(family: str, **options: int) -> str:
        key = (family, *sorted(options.items()))
        if key not in made:
            folder = tmp_path_factory.mktemp("components") / f"{family}-{len(made)}"
            made[key] = save_component(folder, family, **options)
        return str(made[key])

    return make
