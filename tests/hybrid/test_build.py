"""From names of components to a hybrid: every option, and what is refused."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from manticore import ManticoreForCausalLM, build_hybrid, load_component
from manticore.components.runner import BlockRunner
from manticore.names import PROJECTORS
from tests.tiny import TEXT, make_tokenizer, save_component

Component = Callable[..., str]

SHORT_TEXT = " ".join(TEXT) * 8


def _ids() -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randint(2, 60, (2, 12), generator=generator)


def _build(components: Sequence, *args: object, **options: object) -> ManticoreForCausalLM:
    return build_hybrid(components, *args, **{"alignment_text": SHORT_TEXT, **options})


@pytest.fixture
def pair(component: Component) -> list[str]:
    return [component("gpt_neox"), component("llama", width=48, layers=3)]


# Options ----------------------------------------------------------------------------------------


def test_as_many_blocks_as_the_shallowest_has_layers(pair: list[str]) -> None:
    hybrid = _build(pair)
    assert hybrid.config.n_blocks == 3
    assert hybrid.cuts == [[0, 1, 3, 4], [0, 1, 2, 3]]
    assert _build(pair, 1).cuts == [[0, 4], [0, 3]]


@torch.no_grad()
def test_mixture_weights_as_given_or_uniform(pair: list[str]) -> None:
    assert torch.equal(_build(pair, 2).mixture_weights, torch.full((2, 2), 0.5))
    rows = [[0.25, 0.75], [1.0, 0.0]]
    assert _build(pair, 2, mixture_weights=rows).mixture_weights.tolist() == rows
    assert _build(pair, 2, mixture_weights=[0.25, 0.75]).mixture_weights.tolist() == 2 * rows[:1]
    # Projectors are fitted at the weights given: elsewhere they are others.
    given = _build(pair, 2, mixture_weights=[0.25, 0.75])
    later = _build(pair, 2)
    later.set_mixture_weights([0.25, 0.75])
    assert not torch.allclose(given(_ids()).logits, later(_ids()).logits)


@pytest.mark.parametrize("options", [{"projector_init": "random"}, {"head": "new"}])
def test_the_seed_decides_what_is_random(pair: list[str], options: dict) -> None:
    state = torch.random.get_rng_state()
    one, same, other = (_build(pair, 2, seed=seed, **options) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.no_grad():
        assert torch.equal(one(_ids()).logits, same(_ids()).logits)
        assert not torch.allclose(one(_ids()).logits, other(_ids()).logits)


@pytest.mark.parametrize("projector_init", ["aligned", "identity"])
def test_closed_forms_need_no_seed(pair: list[str], projector_init: str) -> None:
    one, other = (_build(pair, 2, seed=seed, projector_init=projector_init) for seed in (1, 2))
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name]), name


@pytest.mark.parametrize("projector", ["linear", "mlp", "low-rank"])
@torch.no_grad()
def test_identity_initialisation_passes_states_on(pair: list[str], projector: str) -> None:
    hybrid = _build(pair, 2, projector=projector, projector_init="identity")
    plain = _build(pair, 2, projector="identity")
    torch.testing.assert_close(hybrid(_ids()).logits, plain(_ids()).logits)


@pytest.mark.parametrize("projector", list(PROJECTORS))
@pytest.mark.parametrize("head", ["mixed", "new"])
@torch.no_grad()
def test_every_kind_works_and_reloads(
    pair: list[str], projector: str, head: str, tmp_path: Path
) -> None:
    hybrid = _build(pair, 2, projector=projector, head=head)
    logits = hybrid(_ids()).logits
    assert torch.isfinite(logits).all()
    hybrid.save_pretrained(tmp_path)
    assert torch.equal(ManticoreForCausalLM.from_pretrained(tmp_path)(_ids()).logits, logits)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
@torch.no_grad()
def test_type_and_device(pair: list[str], device: object) -> None:
    hybrid = _build([load_component(pair[0]), pair[1]], 2, dtype=torch.bfloat16, device=device)
    for name, parameter in hybrid.named_parameters():
        wanted = torch.float32 if name == "mixture.alpha" else torch.bfloat16
        assert parameter.dtype == wanted, name
        assert parameter.device == torch.device("cpu")
    exact = _build(pair, 2)(_ids()).logits
    rough = hybrid(_ids()).logits.float()
    assert torch.nn.functional.cosine_similarity(rough, exact, dim=-1).mean() > 0.98


# One component ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A component that makes one token of any text."""
    backend = Tokenizer(models.WordLevel({f"t{i}": i for i in range(96)}, unk_token="t0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="t2", unk_token="t0")
    folder = save_component(tmp_path_factory.mktemp("silent") / "gpt2", "gpt2")
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("n_blocks", [1, 4])
@torch.no_grad()
def test_one_component_needs_no_text(silent: str, n_blocks: int) -> None:
    alone = AutoModelForCausalLM.from_pretrained(silent)
    hybrid = build_hybrid([silent], n_blocks)
    assert torch.equal(hybrid(_ids()).logits, alone(_ids()).logits)
    assert hybrid.config.scales == [[1.0]] * (n_blocks + 1)


def test_one_component_is_not_run_to_be_built(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing to measure")

    monkeypatch.setattr(BlockRunner, "run", refuse)
    build_hybrid([component("gpt_neox")], 2)
    with pytest.raises(AssertionError, match="nothing to measure"):
        build_hybrid([component("gpt_neox"), component("gpt2")], 2)


def test_several_components_need_a_text_that_they_can_read(
    silent: str, component: Component
) -> None:
    said = r"bundled stories are 1 tokens long in the vocabulary of '.*': give an alignment_text"
    with pytest.raises(ValueError, match=said):
        build_hybrid([silent, component("llama")], 2)


def test_components_are_measured_in_one_pass_and_fitted_in_another(
    pair: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    embed = BlockRunner.embed

    def count(runner: BlockRunner, *arguments: object) -> torch.Tensor:
        passes.append(runner.spec.model_type)
        return embed(runner, *arguments)

    monkeypatch.setattr(BlockRunner, "embed", count)
    _build(pair, 2, projector_init="random")
    assert sorted(passes) == ["gpt_neox", "llama"]
    passes.clear()
    _build(pair, 2)
    assert sorted(passes) == ["gpt_neox", "gpt_neox", "llama", "llama"]


# Tokenizers -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A component with a smaller vocabulary of its own; it pads on the right, as many do."""
    folder = save_component(tmp_path_factory.mktemp("stranger"), "gpt2", vocab_size=70)
    tokenizer = make_tokenizer(vocab_size=60)
    tokenizer.padding_side = "right"
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("tokenizer_from", [0, 1])
@torch.no_grad()
def test_one_component_gives_the_tokenizer(
    component: Component, stranger: str, tokenizer_from: int
) -> None:
    folders = [component("gpt_neox"), stranger]
    hybrid = _build(folders, 2, tokenizer_from=tokenizer_from)
    wanted = AutoTokenizer.from_pretrained(folders[tokenizer_from])
    assert hybrid.tokenizer.get_vocab() == wanted.get_vocab()
    assert list(hybrid.transplants) == [hybrid.component_names[1 - tokenizer_from]]
    # Rows beyond the tokenizer's entries stay in a component that is not transplanted.
    assert hybrid(_ids().clamp(max=50)).logits.shape[-1] == hybrid.config.vocab_size
    assert hybrid.config.vocab_size >= len(wanted)
    assert hybrid.config.eos_token_id == wanted.eos_token_id


def test_prompts_are_padded_on_the_left(stranger: str, component: Component) -> None:
    hybrid = _build([stranger, component("gpt_neox")], 2)
    batch = hybrid.tokenizer(["a fox", TEXT[0]], padding=True, return_tensors="pt")
    assert batch["attention_mask"][0, 0] == 0
    assert batch["attention_mask"][:, -1].all()


def test_transplants_of_namesakes_are_reported_apart(stranger: str, component: Component) -> None:
    hybrid = _build([component("gpt_neox"), stranger, stranger], 2)
    assert list(hybrid.transplants) == hybrid.component_names[1:]


# Components -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer_from", [0, 1])
@torch.no_grad()
def test_a_loaded_component_is_copied(
    component: Component, stranger: str, tokenizer_from: int
) -> None:
    loaded = load_component(stranger)
    weights = copy.deepcopy(loaded.model.state_dict())
    side = loaded.tokenizer.padding_side
    hybrid = _build([component("gpt_neox"), loaded], 2, tokenizer_from=tokenizer_from)
    for parameter in hybrid.parameters():
        parameter.zero_()
    assert loaded.model.config.vocab_size == 70
    assert loaded.tokenizer.padding_side == side
    assert loaded.model.state_dict().keys() == weights.keys()
    for name, weight in loaded.model.state_dict().items():
        assert torch.equal(weight, weights[name]), name


@torch.no_grad()
def test_the_same_component_twice_is_two(component: Component, tmp_path: Path) -> None:
    loaded = load_component(component("gpt_neox"))
    hybrid = _build([loaded, loaded], 2)
    one, other = (set(map(id, model.parameters())) for model in hybrid.components)
    assert not one & other
    assert len(set(hybrid.component_names)) == 2
    alone = AutoModelForCausalLM.from_pretrained(component("gpt_neox"))
    assert torch.equal(hybrid.components[1](_ids()).logits, alone(_ids()).logits)
    for parameter in hybrid.components[0].parameters():
        parameter.zero_()
    assert torch.equal(hybrid.components[1](_ids()).logits, alone(_ids()).logits)
    hybrid.save_pretrained(tmp_path)
    loaded = ManticoreForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(loaded(_ids()).logits, hybrid(_ids()).logits)


@pytest.mark.parametrize(
    "names", [("fox", "fox"), ("fox", "fox", "fox-1"), ("fox-1", "fox", "fox"), ("a", "b", "a")]
)
def test_names_are_told_apart(tmp_path: Path, names: tuple[str, ...]) -> None:
    folders = [
        str(save_component(tmp_path / str(i) / name, "gpt_neox", layers=2))
        for i, name in enumerate(names)
    ]
    given = _build(folders, 2).component_names
    assert len(set(given)) == len(names)
    for name, label in zip(names, given, strict=True):
        assert label.startswith(name)
        if names.count(name) == 1:
            assert label == name


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_blocks": 0}, "n_blocks=0"),
        ({"n_blocks": 4}, "n_blocks=4 .* which has 3 layers"),
        ({"mixture_weights": [[0.5, 0.5]] * 3, "n_blocks": 2}, "do not fit"),
        ({"alignment_text": "a fox"}, "alignment_text is 2 tokens long .* at least 128"),
    ],
)
def test_options_that_cannot_be(pair: list[str], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _build([pair[0], pair[1]], **options)


@pytest.mark.parametrize("n_components", [0, 5])
def test_one_to_four_components(component: Component, n_components: int) -> None:
    with pytest.raises(ValueError, match="1 to 4 components"):
        _build([component("gpt_neox")] * n_components)


def test_a_model_smaller_than_its_tokenizer(component: Component, tmp_path: Path) -> None:
    folder = save_component(tmp_path / "small", "gpt2", vocab_size=40)
    assert len(make_tokenizer()) > 40
    with pytest.raises(ValueError, match=r"small' has 40 embeddings"):
        _build([component("gpt_neox"), str(folder)])
