"""Pieces of text: nothing lost, documents apart, bad bytes named."""

import gzip
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manticore.data import reading
from manticore.data.reading import cut_pieces, read_blocks, read_lines, split_offset

ALPHABET = "ab é。\n\t #"


def documents(pieces) -> list[str]:
    """Join pieces into documents."""
    found, text = [], ""
    for piece, ends in pieces:
        text += piece
        if ends:
            found.append(text)
            text = ""
    assert not text, "the last document was not ended"
    return found


@settings(max_examples=300)
@given(
    st.lists(st.text(ALPHABET, max_size=40), max_size=12),
    st.sampled_from([None, "#", "##", "\n#\n", "\n\n\n"]),
    st.integers(1, 12),
)
def test_pieces_joined_are_the_documents_whatever_the_blocks(blocks, separator, size):
    text = "".join(blocks)
    whole = text.split(separator) if separator else [text]
    pieces = list(cut_pieces(blocks, separator=separator, size=size))
    found = documents(pieces)
    assert [d.rstrip() for d in found] == [d.strip() for d in whole if d.strip()]
    if not re.search(rf"\s{{{size // 2 + 1}}}", text):
        assert found == [d.rstrip() for d in found]
    assert all(len(piece) <= 2 * size for piece, _ in pieces)


@settings(max_examples=100)
@given(st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=60))
def test_cuts_fall_in_front_of_white_space(words):
    text = " ".join(words)
    pieces = [piece for piece, _ in cut_pieces([text], size=12)]
    assert all(piece.startswith(" ") for piece in pieces[1:])


def test_a_cut_prefers_a_blank_line():
    text = "one two three four five\n\nsix seven eight nine ten eleven twelve thirteen"
    pieces = [piece for piece, _ in cut_pieces([text], size=18)]
    assert pieces[0] == "one two three four five"


def test_a_text_without_white_space_is_cut_all_the_same():
    pieces = list(cut_pieces(["x" * 1000], size=30))
    assert documents(pieces) == ["x" * 1000]
    assert max(len(piece) for piece, _ in pieces) <= 60


@settings(max_examples=60)
@given(st.text(ALPHABET + "😀", max_size=60), st.integers(1, 7))
def test_blocks_decode_to_the_text(text, block):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK", block)
        path = Path(folder) / "t.txt"
        path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
        assert "".join(read_blocks(path)) == text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"abc\x00def", "there is a NUL byte at byte 3"),
        ("caf\u00e9 noir".encode("latin-1"), "byte 3 is 0xE9, which is 'é' in Windows-1252"),
        (b"\xef\xbb\xbfab\xff", "byte 5 is 0xFF"),
        (b"a" * 10 + "é".encode()[:1], "byte 10 is 0xC3"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("block", [1, 4, 1 << 20])
def test_a_byte_that_is_not_text_is_named_with_its_offset(
    tmp_path, monkeypatch, content, said, packed, block
):
    monkeypatch.setattr(reading, "BLOCK", block)
    path = tmp_path / "bad.txt"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match=r"bad\.txt is not UTF-8 text") as caught:
        list(read_blocks(path))
    assert said in str(caught.value)


@settings(max_examples=60)
@given(st.lists(st.text("aé \u2028\x85", max_size=9), max_size=12), st.integers(1, 7))
def test_lines_end_at_line_ends_alone(lines, block):
    text = "".join(f"{line}\n" for line in lines) + "last"
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK", block)
        path = Path(folder) / "t.txt"
        path.write_bytes(text.replace("\n", "\r\n").encode())
        assert list(read_lines(path)) == [*(f"{line}\n" for line in lines), "last"]


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_a_packed_text_has_the_parts_of_the_unpacked_one(tmp_path, monkeypatch, fraction):
    monkeypatch.setattr(reading, "BLOCK", 64)
    plain, packed = tmp_path / "t.txt", tmp_path / "t.txt.gz"
    plain.write_text("\n\n".join(f"Párrafo {i} de la obra." for i in range(100)))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    offset = split_offset(plain, fraction)
    assert split_offset(packed, fraction) == offset
    for part in ((0, offset), (offset, None)):
        assert "".join(read_blocks(packed, *part)) == "".join(read_blocks(plain, *part))


@pytest.mark.parametrize("fraction", [0.3, 0.9, 0.97])
def test_the_tail_begins_a_paragraph(tmp_path, fraction):
    path = tmp_path / "t.txt"
    path.write_text("\n\n".join(f"Párrafo {i} de la obra." for i in range(100)), encoding="utf-8")
    offset = split_offset(path, fraction)
    head, tail = "".join(read_blocks(path, 0, offset)), "".join(read_blocks(path, offset))
    assert head + tail == path.read_text(encoding="utf-8")
    assert head.endswith("\n\n")
    assert tail.startswith("Párrafo")
    assert len(head) == pytest.approx(fraction * len(head + tail), abs=30)


def test_the_tail_of_a_text_without_any_break_keeps_characters_whole(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("。" * 100, encoding="utf-8")
    for fraction in (0.5, 0.501, 0.503, 0.97):
        offset = split_offset(path, fraction)
        assert "".join([*read_blocks(path, 0, offset), *read_blocks(path, offset)]) == "。" * 100


def test_the_tail_begins_after_a_separator_where_there_is_one(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("one\n\ntwo\n===\nthree\n\nfour\n===\nfive", encoding="utf-8")
    for fraction, tail in ((0.2, "\nthree"), (0.6, "\nfive"), (0.97, "\nfive")):
        offset = split_offset(path, fraction, "===")
        assert path.read_text()[offset:].startswith(tail)
