"""A hybrid that classifies: what must hold for every family, and among Transformers' own tools."""

from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    Trainer,
    TrainingArguments,
    pipeline,
)

import manticore as mc
from manticore import (
    ManticoreForCausalLM,
    ManticoreForSequenceClassification,
    build_hybrid,
)
from manticore.hybrid.lora import lora_targets
from manticore.hybrid.routing import RouterSettings
from manticore.hybrid.scoring import pool
from tests.tiny import FAMILY_NAMES, VOCAB_SIZE, build_pair

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}
LABELS = ("fox", "lantern", "story")
LENGTH = 12

Component = Callable[..., str]


def _ids(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randint(2, VOCAB_SIZE, shape or (2, LENGTH), generator=generator).to(DEVICE)


def _with_head(component: Component, head: str) -> ManticoreForCausalLM:
    folders = [component("mamba"), component("llama", width=48, layers=3, seed=1)]
    return build_hybrid(folders, 3, projector_init="random", head=head).to(DEVICE)


def _classifier(
    component: Component, family: str = "mamba", *, routed: bool = False, **options: object
) -> ManticoreForSequenceClassification:
    hybrid = build_pair(component, family).to(DEVICE)
    if routed:
        torch.manual_seed(3)
        mixture = hybrid.add_router(RouterSettings(width=8, threshold=0.3))
        torch.nn.init.normal_(mixture.weight, std=20.0)
    return ManticoreForSequenceClassification.from_hybrid(hybrid, LABELS, **options)


both_mixtures = pytest.mark.parametrize("routed", [False, True], ids=["static", "routed"])
both_poolings = pytest.mark.parametrize("pooling", ["last", "mean"])


@pytest.mark.parametrize("family", FAMILY_NAMES)
@torch.no_grad()
def test_one_hot_is_the_component_with_a_score(component: Component, family: str) -> None:
    classifier = _classifier(component, family)
    classifier.set_mixture_weights([1.0, 0.0])
    ids = _ids()
    alone = AutoModel.from_pretrained(component(family)).eval().to(DEVICE)
    last = alone(ids).last_hidden_state[:, -1]
    score = classifier.score.each[0].weight
    torch.testing.assert_close(classifier(ids).logits, last @ score.T, **TOLERANCE)


@torch.no_grad()
def test_it_is_the_classifier_that_transformers_has(component: Component) -> None:
    classifier = _classifier(component, "gpt_neo")
    classifier.set_mixture_weights([1.0, 0.0])
    own = AutoModelForSequenceClassification.from_pretrained(component("gpt_neo"), num_labels=3)
    own.eval().to(DEVICE).score.weight.copy_(classifier.score.each[0].weight)
    ids, labels = _ids(), torch.tensor([2, 0], device=DEVICE)
    theirs, ours = (model(ids, labels=labels) for model in (own, classifier))
    torch.testing.assert_close(ours.logits, theirs.logits, **TOLERANCE)
    torch.testing.assert_close(ours.loss, theirs.loss, **TOLERANCE)


@pytest.mark.parametrize("family", FAMILY_NAMES)
@torch.no_grad()
def test_padding_on_either_side_changes_nothing(component: Component, family: str) -> None:
    classifier = _classifier(component, family)
    ids, padding = _ids(), 4
    kept = classifier(ids[:1, padding:]).logits[0]
    for pads, row in (
        (slice(0, padding), ids.clone()),
        (slice(LENGTH - padding, LENGTH), ids.roll(-padding, dims=1)),
    ):
        padded, mask = row.clone(), torch.ones_like(ids)
        padded[:, pads], mask[:, pads] = 1, 0
        # Another row that is whole: each has its own last token.
        mask[1] = 1
        padded[1] = ids[1]
        batch = classifier(padded, attention_mask=mask).logits
        torch.testing.assert_close(batch[0], kept, **TOLERANCE)
        torch.testing.assert_close(batch[1], classifier(ids[1:]).logits[0], **TOLERANCE)


@both_mixtures
@both_poolings
@torch.no_grad()
def test_pooling_looks_at_real_tokens_only(
    component: Component, pooling: str, routed: bool
) -> None:
    classifier = _classifier(component, pooling=pooling, routed=routed)
    ids, mask = _ids(), torch.ones(2, LENGTH, dtype=torch.long, device=DEVICE)
    mask[0, 7:] = 0
    batch = classifier(ids, attention_mask=mask).logits
    torch.testing.assert_close(batch[0], classifier(ids[:1, :7]).logits[0], **TOLERANCE)
    torch.testing.assert_close(batch[1], classifier(ids[1:]).logits[0], **TOLERANCE)
    # Without a mask, the hybrid's padding tokens are known by their id.
    classifier.config.pad_token_id = 1
    ids[0, 7:] = 1
    torch.testing.assert_close(classifier(ids).logits, batch, **TOLERANCE)


@both_mixtures
@pytest.mark.parametrize("pairs", [False, True], ids=["single", "pairs"])
@torch.no_grad()
def test_saved_and_loaded_is_bit_equal(
    component: Component, routed: bool, pairs: bool, tmp_path: Path
) -> None:
    classifier = _classifier(component, routed=routed, pooling="mean", pairs=pairs)
    classifier.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).to(DEVICE)
    assert type(loaded) is ManticoreForSequenceClassification
    ids = _ids(2, 2, LENGTH) if pairs else _ids()
    assert torch.equal(loaded(ids).logits, classifier(ids).logits)
    assert loaded.config.id2label == dict(enumerate(LABELS))
    assert (loaded.config.pooling, loaded.config.pairs) == ("mean", pairs)
    assert loaded.tokenizer.get_vocab() == classifier.tokenizer.get_vocab()


@torch.no_grad()
def test_the_parts_of_a_pair_meet_only_when_they_are_pooled(component: Component) -> None:
    classifier = _classifier(component, pairs=True)
    ids = _ids(3, 2, LENGTH)
    swapped = classifier(ids.flip(1)).logits
    assert not torch.allclose(classifier(ids).logits, swapped)
    # The product and, but for its sign, the difference of the parts are the same either way.
    first = [score[0].weight.unflatten(1, (4, -1)) for score in classifier.score.each]
    for weight in first:
        weight.copy_(torch.stack([weight[:, 1], weight[:, 0], weight[:, 2], -weight[:, 3]], 1))
    torch.testing.assert_close(classifier(ids).logits, swapped, **TOLERANCE)


@torch.no_grad()
def test_one_that_writes_begins_one_that_classifies_and_back(
    component: Component, tmp_path: Path
) -> None:
    hybrid = build_pair(component, "mamba").to(DEVICE)
    hybrid.save_pretrained(tmp_path / "writes")
    begun = ManticoreForSequenceClassification.from_pretrained(tmp_path / "writes", num_labels=5)
    assert begun.to(DEVICE)(_ids()).logits.shape == (2, 5)
    begun.save_pretrained(tmp_path / "classifies")
    back = AutoModelForCausalLM.from_pretrained(tmp_path / "classifies").to(DEVICE)
    assert torch.equal(back(_ids()).logits, hybrid(_ids()).logits)


def test_a_saved_score_must_be_whole(component: Component, tmp_path: Path) -> None:
    _classifier(component).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"other shapes \(score"):
        ManticoreForSequenceClassification.from_pretrained(tmp_path, num_labels=4)


@pytest.mark.parametrize("head", ["mixed", "mixture", "new"])
def test_every_part_learns(component: Component, head: str) -> None:
    hybrid = _with_head(component, head)
    classifier = ManticoreForSequenceClassification.from_hybrid(hybrid, LABELS).train()
    loss = classifier(_ids(), labels=torch.tensor([0, 2], device=DEVICE)).loss
    loss.backward()
    unused = {id(model.get_output_embeddings().weight) for model in classifier.components}
    unused |= {id(parameter) for parameter in classifier.mixture.parameters()}
    if head == "new":  # which has a norm of its own
        norms = [getattr(runner.backbone, runner.spec.norm) for runner in classifier.runners]
        unused |= {id(parameter) for norm in norms for parameter in norm.parameters()}
    for name, parameter in classifier.named_parameters():
        assert parameter.grad is not None or id(parameter) in unused, name


def test_the_loss_of_a_batch_in_parts_is_that_of_the_whole(component: Component) -> None:
    classifier, ids = _classifier(component), _ids(4, LENGTH)
    labels = torch.tensor([0, 1, 2, 0], device=DEVICE)
    parts = [
        classifier(ids[part], labels=labels[part], num_items_in_batch=4).loss
        for part in (slice(0, 1), slice(1, 4))
    ]
    torch.testing.assert_close(sum(parts), classifier(ids, labels=labels).loss, **TOLERANCE)


def test_transformers_trains_and_asks_it(component: Component, tmp_path: Path) -> None:
    classifier = _classifier(component).cpu()
    rows = [{"input_ids": row, "labels": int(row[0]) % 3} for row in _ids(6, LENGTH).cpu()]
    arguments = TrainingArguments(
        str(tmp_path), max_steps=2, report_to=[], use_cpu=True, per_device_train_batch_size=3
    )
    trainer = Trainer(classifier, arguments, train_dataset=rows, eval_dataset=rows)
    assert trainer.train().global_step == 2
    assert trainer.predict(rows).predictions.shape == (6, 3)
    ask = pipeline("text-classification", classifier, tokenizer=classifier.tokenizer)
    assert ask("Once upon a time")[0]["label"] in LABELS


def test_peft_keeps_its_score(component: Component, tmp_path: Path) -> None:
    classifier = _classifier(component).cpu()
    options = peft.LoraConfig(r=2, target_modules=lora_targets(classifier), task_type="SEQ_CLS")
    adapted = peft.get_peft_model(classifier, options)
    learning = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert any("score" in name for name in learning)
    assert any("lora_" in name for name in learning)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if name in learning:
                parameter.add_(0.1)
    adapted.eval().save_pretrained(tmp_path)
    fresh = _classifier(component).cpu()
    again = peft.PeftModel.from_pretrained(fresh, tmp_path).eval()
    ids = _ids().cpu()
    assert torch.equal(again(input_ids=ids).logits, adapted(input_ids=ids).logits)


def test_many_labels_at_once_count_as_told(component: Component) -> None:
    classifier, ids = _classifier(component), _ids(4, LENGTH)
    classifier.config.problem_type = "multi_label_classification"
    labels = torch.eye(4, 3, device=DEVICE)
    parts = [
        classifier(ids[part], labels=labels[part], num_items_in_batch=12).loss
        for part in (slice(0, 1), slice(1, 4))
    ]
    torch.testing.assert_close(sum(parts), classifier(ids, labels=labels).loss, **TOLERANCE)
    # Another kind of labels is known by them again.
    fresh = ManticoreForSequenceClassification.from_hybrid(classifier, 1)
    assert fresh(ids, labels=torch.rand(4, device=DEVICE)).loss.isfinite()


@torch.no_grad()
def test_a_token_for_padding_that_is_also_text_is_read(component: Component) -> None:
    classifier, ids = _classifier(component, pooling="mean"), _ids()
    whole = classifier(ids).logits
    classifier.config.pad_token_id = int(ids[0, 3])
    ids[:, -1] = (classifier.config.pad_token_id + 1) % VOCAB_SIZE
    mask = torch.ones_like(ids)
    torch.testing.assert_close(classifier(ids).logits, classifier(ids, mask).logits, **TOLERANCE)
    assert not torch.allclose(whole, classifier(ids).logits)


@torch.no_grad()
def test_the_mean_of_many_states_fits_into_half_precision() -> None:
    states = torch.full((1, 2048, 4), 60.0, dtype=torch.float16, device=DEVICE)
    mask = torch.ones(1, 2048, dtype=torch.long, device=DEVICE)
    assert torch.equal(pool(states, mask, "mean"), states[:, 0])


@torch.no_grad()
def test_a_norm_that_was_trained_stays(component: Component, tmp_path: Path) -> None:
    hybrid = _with_head(component, "new").to(torch.bfloat16)
    hybrid.new_norm.weight.fill_(3)
    made = ManticoreForSequenceClassification.from_hybrid(hybrid, LABELS)
    assert (made.new_norm.weight == 3).all()
    assert {made.new_norm.weight.dtype, *(p.dtype for p in made.score.parameters())} == {
        torch.bfloat16
    }
    # What writes needs its head: none starts at random without a word.
    made.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lacks new_head"):
        ManticoreForCausalLM.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"input_ids": (2, LENGTH), "pairs": True}, r"pairs: give input_ids \(B, 2, T\)"),
        ({"input_ids": (2, 0)}, "There is no token"),
        ({"input_ids": (1, 65), "family": "gpt_neo"}, "too long"),
        ({"input_ids": (2, LENGTH), "use_cache": True}, "keeps no cache"),
        ({"input_ids": (2, LENGTH), "attention_mask": (2, 5)}, r"mask \(2, 5\) does not fit"),
        ({"input_ids": (2, 2, LENGTH), "pairs": True, "attention_mask": (2, 5)}, "does not fit"),
    ],
)
def test_bad_input_says_what_to_do(component: Component, given: dict, says: str) -> None:
    given = dict(given)
    family, pairs = given.pop("family", "mamba"), given.pop("pairs", False)
    classifier = _classifier(component, family, pairs=pairs)
    if "attention_mask" in given:
        given["attention_mask"] = torch.ones(given["attention_mask"], device=DEVICE)
    with pytest.raises(ValueError, match=says):
        classifier(input_ids=_ids(*given.pop("input_ids")), **given)


def test_what_cannot_classify_is_refused(component: Component) -> None:
    make = ManticoreForSequenceClassification.from_hybrid
    with pytest.raises(ValueError, match="head='mixed'"):
        make(_with_head(component, "reconstruction"), 2)
    with pytest.raises(ValueError, match="two or more"):
        make(build_pair(component, "mamba"), ["only"])
    with pytest.raises(ValueError, match="the same name twice"):
        make(build_pair(component, "mamba"), ["fox", "fox"])
    with pytest.raises(TypeError, match="is one string"):
        make(build_pair(component, "mamba"), "fox")
    with pytest.raises(TypeError, match="classifies, and stages take hybrids that write"):
        mc.finetune(_classifier(component), None)
    with pytest.raises(ValueError, match="Did you mean 'mean'"):
        make(build_pair(component, "mamba"), 2, pooling="means")
    assert not make(build_pair(component, "mamba"), 2).can_generate()
