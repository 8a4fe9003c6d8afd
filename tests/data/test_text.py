"""`load_text` on files, folders and bundled stories: splits, cache, specs, streaming, bad input."""

import gzip
import json
import logging
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from manticore.data import TextData, entropy_per_token, load_text
from manticore.data.packing import IGNORED
from manticore.stories import Entropy, generate_stories


def tokens(dataset) -> list[int]:
    """All tokens of a data set in order, padding left out."""
    return [int(t) for item in dataset for t in item["labels"] if t != IGNORED]


def text(dataset, tokenizer) -> str:
    """The text of all stored tokens, those that fill no sequence included."""
    return tokenizer.decode(dataset.tokens)


def same(a, b) -> bool:
    pairs = zip(a, b, strict=True)
    return all(torch.equal(x[key], y[key]) for x, y in pairs for key in ("input_ids", "labels"))


def test_a_file_is_one_document_and_its_tail_is_held_out(prose, tokenizer):
    data = load_text(prose, tokenizer=tokenizer, seq_len=16, valid_fraction=0.2)
    whole = prose.read_text(encoding="utf-8")
    train, valid = (text(part, tokenizer) for part in (data.train, data.valid))
    assert train.count("<|endoftext|>") == valid.count("<|endoftext|>") == 1
    train, valid = (part.removesuffix("<|endoftext|>") for part in (train, valid))
    assert f"{train}\n\n{valid}" == whole
    assert len(valid) == pytest.approx(0.2 * len(whole), abs=400)
    assert data.n_tokens == data.train.n_tokens
    assert data.seq_len == 16
    assert data.name == "prose.txt"
    assert "prose.txt" in repr(data)
    assert data.floor is None


def test_a_separator_divides_documents(tmp_path, tokenizer):
    path = tmp_path / "t.txt"
    documents = list(generate_stories("es", n_stories=20))
    path.write_text("\n***\n".join(documents), encoding="utf-8")
    data = load_text(path, tokenizer=tokenizer, seq_len=32, document_separator="\n***\n")
    found = text(data.train, tokenizer) + text(data.valid, tokenizer)
    assert found.split("<|endoftext|>")[:-1] == documents


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_a_folder_has_a_document_per_file_and_holds_out_whole_ones(tmp_path, tokenizer, seed):
    documents = {f"{i:02}.txt": s for i, s in enumerate(generate_stories("en", n_stories=10))}
    for name, story in documents.items():
        (tmp_path / "books").mkdir(exist_ok=True)
        (tmp_path / "books" / name).write_text(story, encoding="utf-8")
    (tmp_path / "books" / "picture.png").write_bytes(b"\x89PNG\x00")
    data = load_text(
        tmp_path / "books", tokenizer=tokenizer, seq_len=16, valid_fraction=0.2, seed=seed
    )
    train, valid = (
        text(part, tokenizer).split("<|endoftext|>")[:-1] for part in (data.train, data.valid)
    )
    assert len(valid) == 2
    assert sorted(train + valid) == sorted(documents.values())


def test_the_seed_chooses_which_files_are_held_out(tmp_path, tokenizer):
    for i in range(10):
        (tmp_path / f"{i}.txt").write_text(f"Number {i}. " * 20)
    held = {
        text(load_text(tmp_path, tokenizer=tokenizer, seq_len=8, seed=s).valid, tokenizer)
        for s in range(10)
    }
    assert len(held) == 10


@pytest.mark.parametrize("max_tokens", [None, 100])
@pytest.mark.parametrize("kind", ["file", "folder", "bundled"])
def test_streaming_gives_the_same_sequences(prose, tmp_path, tokenizer, kind, max_tokens):
    source = {"file": prose, "folder": tmp_path / "f", "bundled": "bundled:stories-es?n_stories=30"}
    if kind == "folder":
        (tmp_path / "f").mkdir()
        for i, story in enumerate(generate_stories("en", n_stories=6)):
            (tmp_path / "f" / f"{i}.txt").write_text(story, encoding="utf-8")
    options = {
        "tokenizer": tokenizer,
        "seq_len": 24,
        "valid_fraction": 0.2,
        "max_tokens": max_tokens,
    }
    stored = load_text(source[kind], **options)
    streamed = load_text(source[kind], **options, streaming=True)
    assert same(stored.train, streamed.train)
    assert same(stored.valid, streamed.valid)
    assert same(streamed.train, streamed.train), "a second pass differs"
    assert streamed.n_tokens is None
    assert "streamed" in repr(streamed)
    if max_tokens is not None:
        assert stored.n_tokens == max_tokens
        assert len(tokens(stored.valid)) <= 24


def test_streaming_workers_share_the_sequences(prose, tokenizer):
    data = load_text(prose, tokenizer=tokenizer, seq_len=24, streaming=True)
    alone = [item["input_ids"].tolist() for item in data.train]
    shared = DataLoader(data.train, batch_size=None, num_workers=2)
    assert sorted(item["input_ids"].tolist() for item in shared) == sorted(alone)


def test_a_second_call_reads_the_cache_and_a_change_of_anything_does_not(prose, tokenizer, cache):
    def entries() -> int:
        return len(list((cache / "tokens").iterdir()))

    first = load_text(prose, tokenizer=tokenizer, seq_len=16)
    written = first.train.path.stat().st_mtime_ns
    again = load_text(prose, tokenizer=tokenizer, seq_len=32)
    assert again.train.path == first.train.path
    assert again.train.path.stat().st_mtime_ns == written
    assert entries() == 1
    load_text(prose, tokenizer=tokenizer, seq_len=16, valid_fraction=0.1)
    load_text(prose, tokenizer=tokenizer, seq_len=16, max_tokens=64)
    prose.write_text(prose.read_text() + " More.")
    assert "More." in text(load_text(prose, tokenizer=tokenizer, seq_len=16).valid, tokenizer)
    assert entries() == 4


@pytest.mark.parametrize(
    ("name", "language"),
    [("stories-en", "en"), ("stories-es", "es"), ("stories-mixed", "mixed")],
)
def test_bundled_stories_come_from_disjoint_streams(tokenizer, name, language):
    data = load_text(f"bundled:{name}?n_stories=40", tokenizer=tokenizer, seq_len=64, seed=3)
    train = list(generate_stories(language, n_stories=38, seed=3, stream="train"))
    valid = list(generate_stories(language, n_stories=2, seed=3, stream="valid"))
    assert text(data.train, tokenizer).split("<|endoftext|>")[:-1] == train
    assert text(data.valid, tokenizer).split("<|endoftext|>")[:-1] == valid
    assert data.name == name


def test_the_floor_of_bundled_stories_is_their_entropy(tokenizer):
    data = load_text("bundled:stories-mixed?n_stories=40", tokenizer=tokenizer, seq_len=64)
    assert isinstance(data.floor, Entropy)
    assert data.floor == entropy_per_token("mixed", tokenizer)


def test_every_document_begins_as_the_tokenizer_begins_a_text(tmp_path, with_bos):
    (tmp_path / "t.jsonl").write_text('{"text": "The fox had a lantern."}\n' * 40)
    data = load_text(tmp_path / "t.jsonl", tokenizer=with_bos, seq_len=16)
    assert int(data.train[0]["input_ids"][0]) == with_bos.bos_token_id
    for part in (data.train, data.valid):
        documents = text(part, with_bos).split(with_bos.eos_token)[:-1]
        assert set(documents) == {"<s>The fox had a lantern."}


@pytest.mark.parametrize("highest", [65_535, 65_536, 3_000_000])
def test_ids_far_beyond_the_number_of_tokens_are_kept(tmp_path, highest):
    vocabulary = {"<|endoftext|>": 0, "fox": 1, "lantern": highest}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<|endoftext|>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|endoftext|>")
    path = tmp_path / "t.txt"
    path.write_text("fox lantern " * 100)
    data = load_text(path, tokenizer=tokenizer, seq_len=8)
    assert set(tokens(data.train)) == {0, 1, highest}
    assert data.vocabulary == highest + 1


def test_no_floor_is_claimed_under_a_tokenizer_that_changes_the_text(tokenizer):
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.normalizer = normalizers.Lowercase()
    lower = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")
    data = load_text("bundled:stories-en?n_stories=20", tokenizer=lower, seq_len=32)
    assert data.floor is None


@pytest.mark.parametrize("streaming", [False, True])
def test_a_spec_rebuilds_the_data(prose, tokenizer, monkeypatch, tmp_path, streaming, caplog):
    monkeypatch.chdir(prose.parent)
    data = load_text("prose.txt", tokenizer=tokenizer, seq_len=20, streaming=streaming, seed=4)
    spec = json.loads(json.dumps(data.spec))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = TextData.from_spec(spec, tokenizer)
    assert same(data.train, again.train)
    assert same(data.valid, again.valid)
    assert again.spec == data.spec
    assert "changed" not in caplog.text
    prose.write_text("Something else. " * 300)
    with caplog.at_level(logging.WARNING):
        TextData.from_spec(spec, tokenizer)
    assert "has changed since" in caplog.text


BAD_ARGUMENTS = [
    ({"seq_len": 1}, "seq_len=1 is too small"),
    ({"valid_fraction": 0.0}, "valid_fraction=0.0 is out of range"),
    ({"valid_fraction": 1}, "valid_fraction=1 is out of range"),
    ({"max_tokens": 3, "seq_len": 4}, "max_tokens=3 is less than a sequence"),
    ({"document_separator": ""}, "document_separator is empty"),
    ({"text_column": "body"}, "text_column='body' does not apply to a text file"),
    ({"config_name": "x"}, "config_name='x' does not apply to a text file"),
    ({"seq_len": 100_000}, r"its train part has \d+ tokens where at least 100000"),
]


WRONG_TYPES = [
    {"seq_len": "16"},
    {"seq_len": 16.0},
    {"seq_len": None},
    {"seq_len": True},
    {"valid_fraction": "0.1"},
    {"valid_fraction": None},
    {"max_tokens": "100"},
    {"max_tokens": float("inf")},
    {"text_column": None},
    {"config_name": 3},
    {"streaming": "yes"},
    {"seed": None},
    {"seed": 0.5},
    {"cache_dir": 5},
    {"document_separator": 5},
    {"tokenizer": None},
    {"tokenizer": "gpt2"},
    {"source": None},
    {"source": ["a.txt", "b.txt"]},
]


@pytest.mark.parametrize("arguments", WRONG_TYPES)
def test_arguments_of_a_wrong_type_are_named(prose, tokenizer, arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(TypeError, match=re.escape(f"{name}={value!r} is not ")):
        load_text(**({"source": prose, "tokenizer": tokenizer} | arguments))


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ("", ValueError, "name of the text is empty"),
        ("A text.\nNot a name.", ValueError, "is a text and not the name of one"),
        ("~nosuchuser/t.txt", ValueError, "home folder that is not known"),
        ("/dev/null", ValueError, "is neither a file nor a folder"),
        ("prose.txt:train", ValueError, "which has no split 'train'"),
    ],
)
def test_names_that_cannot_be_a_text_are_refused(
    prose, tokenizer, monkeypatch, source, error, said
):
    monkeypatch.chdir(prose.parent)
    with pytest.raises(error, match=said):
        load_text(source, tokenizer=tokenizer)


def test_folders_and_dangling_links_with_the_name_of_a_text_are_passed_over(tmp_path, tokenizer):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "notes.txt").mkdir()
    (tmp_path / "t" / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "t" / "a.txt").write_text("The fox had a lantern. " * 40)
    (tmp_path / "t" / "b.txt.gz").write_bytes(gzip.compress(b"Nobody else had one. " * 40))
    data = load_text(tmp_path / "t", tokenizer=tokenizer, seq_len=8)
    assert len(data.train) > 0
    assert len(data.valid) > 0


def test_a_source_that_is_gone_or_broken_has_changed(tmp_path, tokenizer):
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "The fox had a lantern."}\n' * 40)
    spec = load_text(path, tokenizer=tokenizer, seq_len=8).spec
    assert not TextData.has_changed(spec)
    path.write_text('{"text": "The fox')
    assert TextData.has_changed(spec)
    path.unlink()
    assert TextData.has_changed(spec)


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS)
def test_bad_arguments_are_named(prose, tokenizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        load_text(prose, tokenizer=tokenizer, **arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n \t", "is empty but for white space"),
        (b"word", "too short"),
        (b"some text\x00more", "NUL byte at byte 9"),
        (b"some text \xff", "byte 10 is 0xFF"),
    ],
)
def test_bad_files_are_named_and_leave_no_cache(tmp_path, tokenizer, cache, content, message):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_text(path, tokenizer=tokenizer, seq_len=8)
    assert not list(cache.glob("tokens/.*"))


def test_a_streamed_file_without_words_is_refused_when_read(tmp_path, tokenizer):
    path = tmp_path / "blank.txt"
    path.write_text("\n \n")
    data = load_text(path, tokenizer=tokenizer, seq_len=8, streaming=True)
    with pytest.raises(ValueError, match="has fewer than two tokens"):
        next(iter(data.train))


def test_a_missing_file_names_the_nearest(prose, tokenizer):
    with pytest.raises(FileNotFoundError, match=r"Did you mean prose\.txt"):
        load_text(prose.with_name("prosa.txt"), tokenizer=tokenizer)
    with pytest.raises(FileNotFoundError, match=r"its folder .* does not exist"):
        load_text(prose.parent / "no" / "t.txt", tokenizer=tokenizer)


def test_an_unknown_bundled_name_names_the_nearest(tokenizer):
    with pytest.raises(ValueError, match="stories-es"):
        load_text("bundled:storys-es", tokenizer=tokenizer)
    with pytest.raises(ValueError, match="leaves none to train on"):
        load_text("bundled:stories-en?n_stories=1", tokenizer=tokenizer)


def test_a_folder_without_text_is_refused(tmp_path, tokenizer):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\x00")
    with pytest.raises(ValueError, match="has no file of a known kind"):
        load_text(tmp_path, tokenizer=tokenizer)


def test_a_tokenizer_without_an_end_of_text_token_is_refused(prose, tokenizer):
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(ValueError, match="no end-of-text token"):
        load_text(prose, tokenizer=bare)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    """Tokenizing 30 MB raises the peak at most 12 MB over that of 5 MB."""
    words = [f"word{i}" * 8 for i in range(100)]
    vocabulary = {word: i for i, word in enumerate(["<|endoftext|>", *words])}
    model = Tokenizer(models.WordLevel(vocabulary, unk_token="<|endoftext|>"))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    model.save(str(tmp_path / "tokenizer.json"))
    paragraph = " ".join(words) + "\n\n"
    script = f"""
        import re
        from pathlib import Path
        from transformers import PreTrainedTokenizerFast
        from manticore.data import load_text
        folder = Path({str(tmp_path)!r})
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), eos_token="<|endoftext|>"
        )
        for megabytes in (5, 30):
            path = folder / f"{{megabytes}}.txt"
            with path.open("w") as file:
                for _ in range(megabytes * 1_000_000 // {len(paragraph)}):
                    file.write({paragraph!r})
            data = load_text(path, tokenizer=tokenizer, seq_len=128)
            data.train[len(data.train) - 1]
            status = Path("/proc/self/status").read_text()
            print(int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) // 1024)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    small, large = map(int, run.stdout.split())
    assert (tmp_path / "30.txt").stat().st_size > 27_000_000
    assert large - small < 12


def test_the_name_of_a_text_is_checked_without_torch():
    code = (
        "import sys; from manticore.data.resolve import check_source\n"
        "check_source('bundled:stories-en'); print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
