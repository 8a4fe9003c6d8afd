"""Reading text files of any size: decoded by the block, cut into pieces where no token crosses.

A piece is `(text, ends_document)`. Pieces are what the tokenizer is given: about `PIECE`
characters, cut in front of white space, preferably of a blank line, so that no word is cut.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from manticore.data.file_kinds import (
    BLOCK,
    not_text,
    open_unpacked,
    read_bytes,
    unpacked_size,
)

PIECE = 1 << 15  # characters
Piece = tuple[str, bool]

_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_SPACE = re.compile(r"\s")


def read_blocks(path: Path, start: int = 0, end: int | None = None) -> Iterator[str]:
    r"""Yield the text of bytes start..end of a UTF-8 file (packed with gzip or not).

    Line ends become "\n"; a byte order mark is left out. Offsets count unpacked bytes.

    Raises:
        ValueError: The file is not UTF-8 text, or is packed and damaged.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    with open_unpacked(path) as file:
        file.seek(start)
        position = start
        marked = start == 0  # a byte order mark may be what comes next
        while True:
            size = BLOCK if end is None else min(BLOCK, end - position)
            raw = read_bytes(file, path, size) if size > 0 else b""
            nul = raw.find(0)
            if nul >= 0:
                raise not_text(path, position + nul)
            held = len(decoder.getstate()[0])
            try:
                text = decoder.decode(raw, final=not raw)
            except UnicodeDecodeError as error:
                raise not_text(path, position - held + error.start) from None
            position += len(raw)
            if marked and text:
                text, marked = text.removeprefix("\ufeff"), False
            yield newlines.decode(text, final=not raw)
            if not raw:
                return


def read_lines(path: Path) -> Iterator[str]:
    r"""Yield the lines of a UTF-8 file, each with its "\n" (the last may have none).

    Raises:
        ValueError: As `read_blocks`.
    """
    rest = ""
    for block in read_blocks(path):
        *lines, rest = (rest + block).split("\n")
        for line in lines:
            yield f"{line}\n"
    if rest:
        yield rest


def cut_pieces(
    blocks: Iterable[str], *, separator: str | None = None, size: int = PIECE
) -> Iterator[Piece]:
    """Cut a text into pieces; documents end at `separator` (which is dropped) and at the end.

    The pieces of a document, joined, are the document without white space at its ends (at its very
    end, what is more than half a piece of it may stay). Documents of nothing but white space are
    left out. Memory is bounded by the block and piece sizes.
    """
    # The end of the buffer may be the beginning of a separator: it is neither cut nor stripped.
    kept = len(separator or "")
    buffer = ""
    begun = False
    for block in blocks:
        buffer += block
        if separator:
            *complete, buffer = buffer.split(separator)
            for document in complete:
                yield from _finish(document, begun, size)
                begun = False
        if not begun:
            sure = len(buffer) - kept
            buffer = buffer[:sure].lstrip() + buffer[sure:] if sure > 0 else buffer
        position = 0
        while len(buffer) - position > 2 * size + kept:
            cut = _cut_before(buffer, position, size)
            yield buffer[position:cut], False
            begun = True
            position = cut
        buffer = buffer[position:]
    yield from _finish(buffer, begun, size)


def _finish(text: str, begun: bool, size: int) -> Iterator[Piece]:
    """The last pieces of a document of which some were given already if `begun`."""
    text = text.rstrip() if begun else text.strip()
    position = 0
    while len(text) - position > 2 * size:
        cut = _cut_before(text, position, size)
        yield text[position:cut], False
        position = cut
    if text or begun:
        yield text[position:], True


def _cut_before(text: str, start: int, size: int) -> int:
    """Where to end a piece from `start`: before a blank line, or else a space, after `size`."""
    for pattern in (_BLANK_LINE, _SPACE):
        match = pattern.search(text, start + size, start + 2 * size)
        if match:
            cut = match.start()
            # To the beginning of the white space; a run of half a piece is cut inside.
            while text[cut - 1].isspace() and cut > start + (size + 1) // 2:
                cut -= 1
            return cut
    return start + size


def split_offset(path: Path, fraction: float, separator: str | None = None) -> int:
    """Byte offset near `fraction` of a file at which a held-out tail can begin.

    It lies after the nearest separator within a megabyte (the next one, else the last before), or
    else after the next blank line, line end or space; in a text without any of these, at a
    character boundary.
    """
    target = int(unpacked_size(path) * fraction)
    begin = max(0, target - BLOCK)
    with open_unpacked(path) as file:
        file.seek(begin)
        before, after = read_bytes(file, path, target - begin), read_bytes(file, path)
    if separator:
        mark = separator.encode()
        found = after.find(mark)
        if found >= 0 and after[found + len(mark) :].strip():
            return target + found + len(mark)
        if mark in before:
            return begin + before.rindex(mark) + len(mark)
    for pattern in (rb"\n[ \t\r]*\n", rb"\n", rb"[ \t]", rb"(?![\x80-\xbf])"):
        match = re.search(pattern, after)
        if match and after[match.end() :].strip():
            return target + match.end()
    return target
