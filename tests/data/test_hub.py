"""Data sets by name and split: columns, streaming, and the library's errors put into words."""

import json

import pytest
import torch

from manticore.data import TextData, load_text
from manticore.data.hub import open_dataset
from manticore.stories import generate_stories

ROWS = [{"text": s, "number": i} for i, s in enumerate(generate_stories("en", n_stories=30))]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that `datasets` reads as splits train (27 rows) and test (3)."""
    folder = tmp_path / "tales"
    folder.mkdir()
    for name, rows in (("train", ROWS[:27]), ("test", ROWS[27:])):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def documents(dataset, tokenizer) -> list[str]:
    ids = [int(t) for item in dataset for t in item["labels"] if t >= 0]
    return [d for d in tokenizer.decode(ids).split("<|endoftext|>") if d]


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_are_documents_and_some_are_held_out(folder, tokenizer, streaming):
    data = load_text(
        f"{folder}:train", tokenizer=tokenizer, seq_len=32, valid_fraction=0.2, streaming=streaming
    )
    train, valid = documents(data.train, tokenizer), documents(data.valid, tokenizer)
    assert len(valid) == 5
    assert sorted(train + valid) == sorted(row["text"] for row in ROWS[:27])
    assert data.name == "tales:train"
    again = TextData.from_spec(json.loads(json.dumps(data.spec)), tokenizer)
    for a, b in zip(data.train, again.train, strict=True):
        assert torch.equal(a["input_ids"], b["input_ids"])
    assert again.spec == data.spec


def test_the_split_is_train_unless_named(folder, tokenizer):
    data = load_text(folder, tokenizer=tokenizer, seq_len=32)
    assert data.name == "tales:train"
    test = load_text(f"{folder}:test", tokenizer=tokenizer, seq_len=32)
    # Three rows, of which 5% would be none: one is held out all the same.
    assert len(documents(test.train, tokenizer)) == 2
    assert len(documents(test.valid, tokenizer)) == 1


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_data_files_are_read(tmp_path, tokenizer, kind):
    import datasets

    rows = datasets.Dataset.from_list(ROWS[:8])
    path = tmp_path / f"rows.{kind}"
    {"jsonl": rows.to_json, "parquet": rows.to_parquet, "csv": rows.to_csv}[kind](path)
    data = load_text(path, tokenizer=tokenizer, seq_len=32, text_column="text")
    found = documents(data.train, tokenizer) + documents(data.valid, tokenizer)
    assert sorted(found) == sorted(row["text"] for row in ROWS[:8])


@pytest.mark.parametrize("streaming", [False, True])
def test_an_unknown_split_names_those_there_are(folder, tokenizer, streaming):
    with pytest.raises(ValueError, match=r"'dev'. Choose from: test, train"):
        load_text(f"{folder}:dev", tokenizer=tokenizer, streaming=streaming)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_missing_column_names_those_there_are(folder, tokenizer, streaming):
    with pytest.raises(ValueError, match=r"text_column of .*: 'body'.*number, text"):
        load_text(folder, tokenizer=tokenizer, text_column="body", streaming=streaming)


def test_a_column_that_is_not_text_is_named(folder, tokenizer):
    with pytest.raises(ValueError, match="line 1 has int in column 'number'"):
        load_text(folder, tokenizer=tokenizer, text_column="number")


def test_a_separator_means_nothing_for_rows(folder, tokenizer):
    with pytest.raises(ValueError, match="document_separator='#' does not apply to a data set"):
        load_text(folder, tokenizer=tokenizer, document_separator="#")


def test_a_data_set_that_cannot_be_reached_is_explained(tokenizer, monkeypatch):
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="The data set 'nobody/nothing' could not be loaded"):
        load_text("nobody/nothing:train", tokenizer=tokenizer)


def test_a_part_of_a_split_is_taken_by_the_library(folder, tokenizer):
    data = load_text(f"{folder}:train[:10]", tokenizer=tokenizer, seq_len=32, valid_fraction=0.1)
    found = documents(data.train, tokenizer) + documents(data.valid, tokenizer)
    assert sorted(found) == sorted(row["text"] for row in ROWS[:10])
    file = load_text(f"{folder / 'train.jsonl'}:train[:10]", tokenizer=tokenizer, seq_len=32)
    assert len(documents(file.train, tokenizer)) == 9


def test_a_readme_beside_tables_is_not_trained_on(folder, tokenizer):
    (folder / "README.md").write_text("# Tales\n" + "Words about tales. " * 200)
    data = load_text(folder, tokenizer=tokenizer, seq_len=32)
    assert "Words about" not in "".join(documents(data.train, tokenizer))


def test_a_broken_line_in_a_folder_is_named(folder, tokenizer):
    with (folder / "train.jsonl").open("a") as file:
        file.write('\n{"text": "cut')
    with pytest.raises(ValueError, match=r"train\.jsonl, line 28 is not valid JSON"):
        load_text(folder, tokenizer=tokenizer, seq_len=32)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.tsv", 'text\n"unclosed\n', "EOF inside string"),
        ("t.tsv", "text\n" + "Había una vez.\n" * 50, "can't decode byte 0xed"),
        ("t.arrow", "not arrow", "could not be read: "),
        ("t.tsv", "", "No columns to parse"),
    ],
)
def test_what_the_library_raises_is_put_into_words(tmp_path, name, content, said, streaming):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / name).write_bytes(content.encode("latin-1"))

    def read() -> list:
        source = open_dataset(
            str(tmp_path / "t"),
            "train",
            text_column="text",
            config_name=None,
            streaming=streaming,
            valid_fraction=0.1,
            seed=0,
        )
        return list(source.pieces("train"))

    with pytest.raises(ValueError, match=said) as caught:
        read()
    assert str(caught.value).startswith(f"The data set '{tmp_path / 't'}' could not be read: ")
    assert "Check its files" in str(caught.value)


def test_a_missing_data_file_names_the_nearest(folder, tokenizer):
    with pytest.raises(FileNotFoundError, match=r"Did you mean train\.jsonl"):
        load_text(folder / "tran.jsonl", tokenizer=tokenizer)
