"""Tables in local files: every row read, and every broken one named with its line and a remedy."""

import gzip
import json
import pickle

import pyarrow
import pytest
from pyarrow import parquet

from manticore.data import load_text
from manticore.data.tables import read_column

TEXTS = ["one, two", 'three "four"', "five\nsix", "", "NA", "ocho\u2028años", "null"]


def values(path, column="text") -> list[object]:
    return [value for _, value in read_column([path], column)]


def write(path, texts) -> None:
    """A table with the columns n and text, of the kind that the name says."""
    rows = [{"n": n, "text": text} for n, text in enumerate(texts)]
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return
    if path.suffix == ".json":
        content = json.dumps(rows, indent=1)
    elif path.suffix == ".jsonl":
        content = "\n".join(json.dumps(row, ensure_ascii=n % 2 == 0) for n, row in enumerate(rows))
    else:
        cells = [text.replace('"', '""') for text in texts]
        content = "n,text\n" + "".join(f'{n},"{cell}"\n' for n, cell in enumerate(cells))
    path.write_text(content, encoding="utf-8")


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_every_row_is_read_as_it_is(tmp_path, kind):
    path = tmp_path / f"t.{kind}"
    write(path, TEXTS)
    assert values(path) == TEXTS
    with pytest.raises(ValueError, match=r"text_column of .*: 'body'.*Choose from: n, text"):
        values(path, "body")


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
@pytest.mark.parametrize("change", [gzip.compress, lambda raw: b"\xef\xbb\xbf" + raw])
def test_packing_and_byte_order_marks_change_nothing(tmp_path, kind, change):
    path = tmp_path / f"t.{kind}"
    write(path, TEXTS)
    path.write_bytes(change(path.read_bytes()))
    assert values(path) == TEXTS
    packed = path.rename(tmp_path / f"t.{kind}.gz")
    assert values(packed) == TEXTS


def test_several_files_follow_each_other(tmp_path):
    write(tmp_path / "a.csv", TEXTS[:3])
    write(tmp_path / "b.jsonl", TEXTS[3:])
    rows = list(read_column([tmp_path / "a.csv", tmp_path / "b.jsonl"], "text"))
    assert [value for _, value in rows] == TEXTS
    assert rows[0][0].endswith("a.csv, line 2")
    assert rows[-1][0].endswith("b.jsonl, line 4")


@pytest.mark.parametrize(
    "content",
    [
        '["a", "b"]',
        '[\n"a",\n"b"\n]',
        '{"text": "a"}\n\n{"text": "b"}',
        '[{"text": "a"}, {"text": "b"}]',
    ],
)
def test_json_is_lines_or_one_list(tmp_path, content):
    path = tmp_path / "t.json"
    path.write_text(content)
    assert values(path) == ["a", "b"]


def test_one_object_over_several_lines_is_one_row(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('{\n "text":\n "a"}')
    assert values(path) == ["a"]


GOOD = '{"text": "good"}\n'
BROKEN = [
    ("t.jsonl", GOOD * 3 + '{"text": "cut of', "line 4 is not valid JSON: Unterminated string"),
    ("t.jsonl", GOOD + "{'text': 'a'}\n" + GOOD, "line 2 is not valid JSON: Expecting property"),
    ("t.jsonl", GOOD + '{"text": "a"} {"text": "b"}\n', "line 2 is not valid JSON: Extra data"),
    ("t.jsonl", GOOD + "\n" + "5\n", "line 3 is of type int instead of an object. Write every"),
    ("t.jsonl", GOOD + "[" * 100_000 + "\n", "line 2 is not valid JSON: .*recursion"),
    (
        "t.jsonl",
        GOOD + f'{{"text": "a", "n": {"9" * 5000}}}\n',
        "line 2 is not valid JSON: Exceeds",
    ),
    ("t.jsonl", "", "is empty"),
    ("t.jsonl", "\n \n", "is empty"),
    ("t.jsonl", "not json\n" * 5, "line 1 is not valid JSON"),
    ("t.json", '[{"text": "a"},\n{"text": ]', "line 2, column 10 is not valid JSON"),
    ("t.json", "[1, 2]", "row 1 is of type int instead of an object"),
    ("t.json", GOOD + '{"text"', "line 2 is not valid JSON"),
    ("t.csv", "", "is empty"),
    ("t.csv", 'text\n"unclosed\n', "line 2 is not valid CSV: unexpected end of data"),
    ("t.csv", 'text\n"a"b"\n', "line 2 is not valid CSV"),
    ("t.csv", 'n,text\n1,"a\nb"\n2,one, two\n', "line 4 has 3 cells where the header has 2"),
    ("t.csv", "n,text\n1\n", "line 2 has 1 cells where the header has 2"),
    ("t.csv", "n;text\n1;a\n", "Unknown text_column of .*: 'text'.* Choose from: n;text"),
    ("t.parquet", "text\na\n", "is not a sound Parquet table"),
    ("t.parquet", "", "is not a sound Parquet table"),
]


@pytest.mark.parametrize(("name", "content", "said"), BROKEN)
def test_a_broken_table_is_named_with_its_line(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=said) as caught:
        values(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_table_in_another_encoding_is_told_from_a_broken_one(tmp_path, kind):
    path = tmp_path / f"t.{kind}"
    write(path, ["Había una vez un zorro."] * 9)
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1252"))
    with pytest.raises(ValueError, match=r"is not UTF-8 text.*WINDOWS-1252"):
        values(path)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_long_text_and_a_long_void_are_read(tmp_path, kind):
    path = tmp_path / f"t.{kind}"
    texts = [""] * 5000 + ["word " * 200_000]
    write(path, texts)
    assert values(path) == texts


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
@pytest.mark.parametrize("streaming", [False, True])
def test_rows_without_text_are_left_out(tmp_path, tokenizer, kind, streaming):
    path = tmp_path / f"t.{kind}"
    write(path, [None] * 2000 + ["The fox had a lantern."] * 20)
    data = load_text(path, tokenizer=tokenizer, seq_len=8, valid_fraction=0.1, streaming=streaming)
    ids = [int(t) for part in (data.train, data.valid) for item in part for t in item["labels"]]
    assert ids.count(tokenizer.eos_token_id) == 20


def test_streamed_rows_go_to_other_processes(tmp_path, tokenizer):
    path = tmp_path / "t.jsonl"
    write(path, ["The fox had a lantern."] * 30)
    data = load_text(path, tokenizer=tokenizer, seq_len=8, streaming=True)
    again = pickle.loads(pickle.dumps(data.train))
    pairs = zip(data.train, again, strict=True)
    assert all(one["input_ids"].equal(other["input_ids"]) for one, other in pairs)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_column_without_any_text_is_refused(tmp_path, tokenizer, kind):
    path = tmp_path / f"t.{kind}"
    write(path, [""] * 30)
    with pytest.raises(ValueError, match=r"No row of .* has text in column 'text'"):
        load_text(path, tokenizer=tokenizer)


def test_half_a_surrogate_pair_is_named(tmp_path, tokenizer):
    path = tmp_path / "t.jsonl"
    path.write_text(GOOD * 30 + '{"text": "\\ud83d\\ude00 and \\ud83d"}\n')
    with pytest.raises(ValueError, match=r"line 31: .* has '\\ud83d', half of a surrogate pair"):
        load_text(path, tokenizer=tokenizer, seq_len=8)


def test_bytes_in_parquet_that_are_not_text_are_named(tmp_path):
    path = tmp_path / "t.parquet"
    column = pyarrow.array([b"good", b"\xff"]).cast(pyarrow.binary())
    raw = pyarrow.StringArray.from_buffers(2, *column.buffers()[1:])
    parquet.write_table(pyarrow.table({"text": raw}), path)
    with pytest.raises(ValueError, match=r"not a sound Parquet table.*\(at row 2\)"):
        values(path)
