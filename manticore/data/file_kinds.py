"""What a file is: gzip is unpacked while reading; for what is not UTF-8 text there is a remedy."""

from __future__ import annotations

import gzip
import shlex
import zlib
from pathlib import Path
from typing import BinaryIO, cast

BLOCK = 1 << 20  # bytes read at a time
_GZIP = b"\x1f\x8b"
_WINDOW = 64  # bytes around a NUL byte in which UTF-16 shows

_CONVERT = "iconv -f {encoding} -t UTF-8 {file} > {copy}"
_ENCODINGS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_FORMATS = {
    b"%PDF": ("a PDF document", "Convert it: `pdftotext {file} {stem}.txt`."),
    b"BZh": ("a file compressed with bzip2", "Unpack it: `bunzip2 -k {file}`."),
    b"\xfd7zXZ\x00": ("a file compressed with xz", "Unpack it: `unxz -k {file}`."),
    b"\x28\xb5\x2f\xfd": ("a file compressed with Zstandard", "Unpack it: `unzstd {file}`."),
    b"7z\xbc\xaf": ("a 7-Zip archive", "Unpack it: `7z x {file}`."),
    b"Rar!": ("a RAR archive", "Unpack it: `unrar x {file}`."),
    b"PK\x03\x04": (
        "a ZIP archive, or a document that is one (.docx, .odt, .epub)",
        "Unpack the archive, or export the document as plain text.",
    ),
    b"\xd0\xcf\x11\xe0": ("an office document", "Export it as plain text in UTF-8."),
    b"PAR1": ("a Parquet table", "Give it a name that ends in .parquet."),
}


def data_suffix(path: Path) -> str:
    """The suffix in lower case that says what a file holds: of t.jsonl and t.jsonl.gz, .jsonl."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def open_unpacked(path: Path) -> BinaryIO:
    """Open a file for reading bytes; what gzip has packed is unpacked."""
    file = path.open("rb")
    packed = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    if not packed:
        return file
    return cast(BinaryIO, gzip.GzipFile(fileobj=file))


def unpacked_size(path: Path) -> int:
    """Bytes of a file, after unpacking where gzip has packed it.

    Raises:
        ValueError: The packed file is damaged.
    """
    with open_unpacked(path) as file:
        if not isinstance(file, gzip.GzipFile):
            return path.stat().st_size
        return sum(len(block) for block in iter(lambda: read_bytes(file, path), b""))


def read_bytes(file: BinaryIO, path: Path, size: int = BLOCK) -> bytes:
    """Up to `size` bytes of `file`, which `open_unpacked` has opened at `path`.

    Raises:
        ValueError: The packed file is damaged.
    """
    try:
        return file.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{path} is compressed with gzip and damaged ({error}). Copy or download it again."
        ) from error


def not_text(path: Path, offset: int) -> ValueError:
    """The error for a file whose byte at `offset` is not UTF-8: what the file is, and a remedy.

    Offsets count the bytes of the unpacked file.
    """
    start = max(0, offset - _WINDOW)
    with open_unpacked(path) as file:
        head = file.read(512)
        file.seek(start)
        near = file.read(2 * _WINDOW)
    kind, remedy = _kind_and_remedy(head, near, offset, start)
    names = {
        "file": path,
        "stem": path.with_suffix(""),
        "copy": path.with_name(f"utf8-{path.name}"),
    }
    command = remedy.format(**{key: shlex.quote(str(name)) for key, name in names.items()})
    return ValueError(f"{path} is not UTF-8 text: it is {kind}. {command}")


def _kind_and_remedy(head: bytes, near: bytes, offset: int, start: int) -> tuple[str, str]:
    """What a file is, and the remedy with {file}, {stem} and {copy} for the names of files."""
    for signature, encoding in _ENCODINGS.items():
        if head.startswith(signature):
            return f"text in {encoding}", _conversion(encoding)
    for signature, found in _FORMATS.items():
        if head.startswith(signature):
            return found
    if head[257:262] == b"ustar":
        return "a tar archive", "Unpack it: `tar -xf {file}`."
    byte = near[offset - start]
    if byte == 0:
        encoding = _wide_encoding(near, start)
        if encoding is not None:
            return f"text in {encoding}", _conversion(encoding)
        return (
            f"binary or damaged (there is a NUL byte at byte {offset})",
            "Export the text as plain UTF-8, or copy the file again.",
        )
    meaning = bytes([byte]).decode("cp1252", errors="replace")
    hint = f", which is {meaning!r} in Windows-1252 and Latin-1" if meaning.isalpha() else ""
    return (
        f"in another encoding or damaged (byte {offset} is 0x{byte:02X}{hint})",
        f"{_conversion('WINDOWS-1252')} Put its real encoding where that is another one.",
    )


def _conversion(encoding: str) -> str:
    return f"Convert it: `{_CONVERT.replace('{encoding}', encoding)}`."


def _wide_encoding(near: bytes, start: int) -> str | None:
    """UTF-16 without a byte order mark, in which every other byte of Latin letters is NUL."""
    even, odd = near[start % 2 :: 2], near[1 - start % 2 :: 2]
    for name, high, low in (("UTF-16LE", odd, even), ("UTF-16BE", even, odd)):
        if high.count(0) > len(high) / 2 and low.count(0) < len(low) / 10:
            return name
    return None
