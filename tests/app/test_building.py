"""What the page says of a hybrid before it is built: cards, tokenizers, memory and time."""

import os

import pytest
from huggingface_hub.errors import HfHubHTTPError

from app.cards import cards_html
from app.components import Components
from app.estimates import Estimates
from app.hub import Hub
from app.known import Known
from app.open_runs import OpenRuns
from app.roots import Roots
from app.vocabularies import vocabularies_html
from manticore.runs import machine
from manticore.runs.launch import make_run_folder
from manticore.runs.machine import Machine
from manticore.store.events import EventWriter
from manticore.store.status import write_status
from manticore.views.wording import about, gigabytes
from tests.app.test_page_parts import FORM, config_from
from tests.app.zoo import make_zoo
from tests.tiny import make_model, make_tokenizer
from tests.vocabularies import byte_level

OTHER = "tiny-gpt2"
PAIR = ["zoo:tiny-neox", "zoo:tiny-mamba"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that the page reads: components with another and the same tokenizer, and a T5."""
    folder = tmp_path_factory.mktemp("components")
    tokenizer = byte_level()
    make_model("gpt2", vocab_size=len(tokenizer), layers=3).save_pretrained(folder / OTHER)
    tokenizer.save_pretrained(folder / OTHER)
    (folder / OTHER / "README.md").write_text("---\nlanguage: [en, '<b>']\n---\n")
    make_model("llama", width=24, layers=2).save_pretrained(folder / "copy")
    make_tokenizer().save_pretrained(folder / "copy")
    (folder / "t5").mkdir()
    (folder / "t5" / "config.json").write_text('{"model_type": "t5"}')
    (folder / "t5" / "model.safetensors").touch()
    return folder


@pytest.fixture(autouse=True)
def _zoo(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MANTICORE_ZOO", str(make_zoo(tmp_path_factory.getbasetemp() / "zoo")))


@pytest.fixture
def known(folder):
    return Known(Components(Roots([folder]), Hub(allowed=False)))


class FakePage:
    """What estimates need of the page."""

    def __init__(self, root, known):
        self.runs, self.known = OpenRuns(root), known


def test_the_card_of_a_folder_tells_what_its_files_say(known, folder):
    before = cards_html([OTHER], known, wait=False)
    assert "It is being looked up." in before
    shown = cards_html([OTHER], known)
    assert "GPT-2 · 51,104 parameters · 3 layers of width 32 · context of 64 tokens" in shown
    assert "vocabulary of 340 · English, &lt;b&gt;" in shown
    assert cards_html([OTHER], known, wait=False) == shown, "it was looked at once"
    assert known.max_blocks([PAIR[0], OTHER]) == 3
    os.utime(folder / OTHER / "config.json", ns=(1, 1))
    assert known.facts(OTHER) is None, "it has changed since"


def test_what_cannot_be_loaded_is_said_before_the_run(known, folder):
    shown = cards_html([PAIR[0], "t5"], known)
    assert "is not a causal language model: the family has an encoder and a decoder" in shown
    assert "Choose a model that continues text" in shown
    assert str(folder) not in shown
    with pytest.raises(ValueError, match="'t5', of the family 't5', is not a causal"):
        known.check([PAIR[0], "t5"], 2)
    with pytest.raises(ValueError, match=r"3 blocks are too many.*has 2 layers"):
        known.check([PAIR[0], "copy"], 3)
    known.check([PAIR[0], "copy"], 2)
    assert vocabularies_html([PAIR[0], "t5"], known) == ""


@pytest.mark.parametrize("name", ["/etc", "../x", "~nobody/x", "http://x.y/z", "a/b", "<i>", ""])
def test_a_name_of_something_else_tells_nothing(known, name):
    told = known.of(name, wait=True)
    assert (told.facts, told.problem) == (None, "")
    assert "<i>" not in cards_html([name], known)


def test_the_hub_is_asked_quietly_and_once(monkeypatch, tmp_path):
    asked = []

    def refuse(name, **_):
        asked.append(name)
        raise HfHubHTTPError("no network", response=None)

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    known = Known(Components(Roots([tmp_path]), Hub()))
    for _ in range(2):
        assert "It is loaded when the run starts." in cards_html(["owner/name"], known)
    assert asked == ["owner/name"]

    def answer(name, **_):
        make_model("mamba", width=24).config.save_pretrained(tmp_path)

    def cached(name, file):
        there = tmp_path / file
        return str(there) if there.exists() else None

    monkeypatch.setattr("huggingface_hub.snapshot_download", answer)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", cached)
    shown = cards_html(["owner/other"], Known(Components(Roots([tmp_path / "none"]), Hub())))
    assert "Mamba · " in shown
    told = vocabularies_html([PAIR[0], "owner/other"], Known(Components(Roots([]), Hub())))
    assert "Whether other can share it is known when the run starts." in told


def test_tokenizers_are_explained(known):
    names = [*PAIR, "copy"]
    for name in (OTHER, "copy"):
        known.of(name, wait=True)
    assert "component's own tokenizer, of 96 tokens" in vocabularies_html(PAIR[:1], known)
    assert "All three components have the same tokenizer" in vocabularies_html(names, known)
    told = vocabularies_html([OTHER, *PAIR], known)
    assert "tokenizer of tiny-gpt2, which is chosen first (340 tokens)" in told
    report = known.transplant(PAIR[0], OTHER)
    assert report is not None
    assert report.copied + report.averaged + report.empty == 340
    for name in ("tiny-neox", "tiny-mamba"):
        assert f"of {name}, {report.copied_share:.0%} of the rows are copied exactly" in told
    assert vocabularies_html([], known) == ""


def test_an_estimate_follows_the_form_and_earlier_runs(known, tmp_path, monkeypatch):
    here = Machine(16e9, has_gpu=False)
    monkeypatch.setattr("app.estimates.this_machine", lambda: here)
    estimates = Estimates(FakePage(tmp_path, known))
    first = estimates.line(config_from(**FORM))
    assert "on this machine, 0.6 GB of memory." in first
    assert "a first run tells how fast this one is" in first
    longer = estimates.line(config_from(**{**FORM, "steps": 5000}))
    assert "minutes on this machine" in longer
    run = make_run_folder(config_from(**FORM), root=tmp_path)
    with EventWriter(run) as events:
        events.emit("step", step=9, loss=1.0, lr={}, tokens_per_s=0.5)
    write_status(run, "stopped")
    slow = estimates.line(config_from(**FORM))
    assert "By an earlier run of these components here. A step takes 4 minutes." in slow
    other = estimates.line(config_from(**{**FORM, "components": [PAIR[0], "copy"]}))
    assert "By an earlier run of other components here." in other
    assert "when the components are loaded" in estimates.line(
        config_from(**{**FORM, "components": ["a/b"]})
    )
    assert "its card says why" in estimates.line(config_from(**{**FORM, "components": ["t5"]}))


def test_what_does_not_fit_is_said_with_its_remedy(known, tmp_path, monkeypatch):
    monkeypatch.setattr("app.estimates.this_machine", lambda: Machine(0.61e9, has_gpu=False))
    estimates = Estimates(FakePage(tmp_path, known))
    large = {**FORM, "seq_len": 512, "batch_size": 32}
    told = estimates.line(config_from(**large))
    assert 'class="estimate note bad"' in told
    assert "this machine has 0.6 GB: choose fewer sequences per step" in told
    monkeypatch.setattr("app.estimates.this_machine", lambda: Machine(16e9, has_gpu=True))
    gpu = estimates.line(config_from(**FORM))
    assert "About 0.6 GB of memory on this machine&#x27;s GPU." in gpu
    assert "The time is known after a first run on this GPU" in gpu


def test_the_memory_of_a_container_counts(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "_LIMITS", (str(limit), str(tmp_path / "none")))
    whole = machine._memory()
    limit.write_text("max\n")
    assert machine._memory() == whole
    limit.write_text("1000000\n")
    assert machine._memory() == 1e6


def test_rough_numbers_read_well():
    seconds = [0.02, 1, 6.6, 41, 60, 130, 1800, 3600, 9000, 2e5]
    told = ["0.02 seconds", "1 second", "7 seconds", "40 seconds", "a minute", "2 minutes"]
    told += ["30 minutes", "an hour", "2.5 hours", "2 days"]
    assert [about(s) for s in seconds] == told
    assert [gigabytes(b) for b in (2e7, 9.4e8, 4.04e10)] == ["0.02 GB", "0.9 GB", "40 GB"]
