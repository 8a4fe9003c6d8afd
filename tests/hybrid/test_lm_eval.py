"""The evaluation harness runs on a hybrid as it is, on a small task of our own."""

import json
from collections.abc import Callable

import lm_eval
import pytest
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.hybrid.routing import RouterSettings
from tests.tiny import TEXT

DOCUMENTS = [
    {"question": "Where is the", "choices": [" lantern", " fox had", " zorro"], "gold": 0},
    {"question": "Once upon a", "choices": [" time", " linterna que"], "gold": 0},
    {"question": "The lantern was", "choices": [" bright.", " a fox", " una vez"], "gold": 0},
    {"question": "Había una vez", "choices": [" the", " un zorro"], "gold": 1},
    {"question": "The fox", "choices": [" has the lantern", " is"], "gold": 0},
]
NEW_TOKENS = 6


@pytest.fixture(scope="module", params=["static", "routed"])
def hybrid(component: Callable[..., str], request: pytest.FixtureRequest) -> ManticoreForCausalLM:
    folders = [component("mamba"), component("llama", width=48, layers=3)]
    text = " ".join(TEXT) * 8
    hybrid = build_hybrid(folders, 2, projector_init="random", alignment_text=text)
    if request.param == "routed":
        torch.manual_seed(3)
        routed = hybrid.add_router(RouterSettings(width=8, threshold=0.3))
        torch.nn.init.normal_(routed.weight, std=20.0)
    return hybrid


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("lm_eval")
    lines = "\n".join(json.dumps(document) for document in DOCUMENTS)
    (folder / "documents.jsonl").write_text(lines, encoding="utf-8")
    source = {
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": str(folder / "documents.jsonl")},
            "cache_dir": str(folder / "cache"),
        },
        "test_split": "test",
        "target_delimiter": "",
    }
    return [
        {
            "task": "choose",
            "output_type": "multiple_choice",
            "doc_to_text": "{{question}}",
            "doc_to_choice": "choices",
            "doc_to_target": "gold",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
            **source,
        },
        {
            "task": "write",
            "output_type": "generate_until",
            "doc_to_text": "{{question}}",
            "doc_to_target": "{{choices[gold]}}",
            "generation_kwargs": {
                "until": ["<|endoftext|>"],
                "max_gen_toks": NEW_TOKENS,
                "do_sample": False,
            },
            "metric_list": [
                {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
            ],
            **source,
        },
        {
            "task": "read",
            "output_type": "loglikelihood_rolling",
            "doc_to_text": "",
            "doc_to_target": "{{question}}{{choices[gold]}}",
            "metric_list": [{"metric": "byte_perplexity"}],
            **source,
        },
    ]


@torch.no_grad()
def _log_likelihood(hybrid: ManticoreForCausalLM, before: list[int], after: list[int]) -> float:
    """Sum of log p over `after`, from logits of the whole sequence."""
    ids = torch.tensor([before + after])
    log_probs = hybrid(ids).logits[0].log_softmax(-1)
    return sum(log_probs[len(before) + i - 1, token].item() for i, token in enumerate(after))


@torch.no_grad()
def _continuation(hybrid: ManticoreForCausalLM, text: str) -> str:
    ids = hybrid.tokenizer(text, return_tensors="pt")
    written = hybrid.generate(**ids, max_new_tokens=NEW_TOKENS, do_sample=False)
    return hybrid.tokenizer.decode(
        written[0, ids["input_ids"].shape[1] :], skip_special_tokens=True
    )


@pytest.mark.parametrize("batch_size", [1, 4])
def test_harness_agrees_with_our_own_numbers(
    hybrid: ManticoreForCausalLM,
    tasks: list[dict],
    batch_size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = HFLM(pretrained=hybrid, tokenizer=hybrid.tokenizer, batch_size=batch_size)
    assert model.max_length == 64
    found = lm_eval.simple_evaluate(
        model,
        tasks=tasks,
        # Without the thousands of files that describe the harness's own tasks.
        task_manager=TaskManager(include_defaults=False),
        log_samples=True,
        bootstrap_iters=0,
    )

    def encode(text: str) -> list[int]:
        return hybrid.tokenizer(text)["input_ids"]

    right = 0
    for document, sample in zip(DOCUMENTS, found["samples"]["choose"], strict=True):
        question = encode(document["question"])
        wanted = [
            _log_likelihood(hybrid, question, encode(document["question"] + c)[len(question) :])
            for c in document["choices"]
        ]
        measured = [response[0] for response in sample["filtered_resps"]]
        assert measured == pytest.approx(wanted, abs=1e-3)
        right += wanted.index(max(wanted)) == document["gold"]
    assert found["results"]["choose"]["acc,none"] == pytest.approx(right / len(DOCUMENTS))
    for document, sample in zip(DOCUMENTS, found["samples"]["write"], strict=True):
        assert sample["filtered_resps"] == [_continuation(hybrid, document["question"])]
    for document, sample in zip(DOCUMENTS, found["samples"]["read"], strict=True):
        text = document["question"] + document["choices"][document["gold"]]
        wanted = _log_likelihood(hybrid, [hybrid.tokenizer.eos_token_id], encode(text))
        assert sample["filtered_resps"] == pytest.approx([wanted], abs=1e-3)
