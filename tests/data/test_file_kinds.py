"""What a file is: gzip is unpacked, and everything else that is not text gets its own remedy."""

import bz2
import gzip
import lzma
import subprocess
import tarfile
import zipfile

import pytest

from manticore.data.file_kinds import data_suffix, unpacked_size
from manticore.data.reading import read_blocks

TEXT = "Había una vez un zorro. No tenía miedo.\n" * 40


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.encode("utf-16"), ["text in UTF-16", "iconv -f UTF-16 -t UTF-8"]),
        (TEXT.encode("utf-16-le"), ["text in UTF-16LE", "iconv -f UTF-16LE"]),
        (TEXT.encode("utf-16-be"), ["text in UTF-16BE", "iconv -f UTF-16BE"]),
        (TEXT.encode("utf-32"), ["text in UTF-32", "iconv -f UTF-32"]),
        (TEXT.encode("cp1252"), ["0xED, which is 'í'", "iconv -f WINDOWS-1252"]),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", ["a PDF document", "pdftotext"]),
        (bz2.compress(TEXT.encode()), ["compressed with bzip2", "bunzip2"]),
        (lzma.compress(TEXT.encode()), ["compressed with xz", "unxz"]),
        (b"\x28\xb5\x2f\xfd\x04\x00", ["Zstandard", "unzstd"]),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ["an office document", "Export it"]),
        (b"PAR1\x15\x04\x15\x00", ["a Parquet table", "ends in .parquet"]),
        (b"ELF" + bytes(range(200)), ["binary or damaged", "NUL byte at byte 3"]),
    ],
)
def test_what_is_not_text_is_called_what_it_is(tmp_path, content, said):
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"t\.txt is not UTF-8 text") as caught:
        list(read_blocks(path))
    for words in said:
        assert words in str(caught.value)


def test_archives_are_to_be_unpacked(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    with zipfile.ZipFile(tmp_path / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.txt")
    with tarfile.open(tmp_path / "t.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.txt", "a.txt")
    for name, said in (("t.zip", "Unpack the archive"), ("t.tar.gz", "tar -xf")):
        with pytest.raises(ValueError, match=said):
            list(read_blocks(tmp_path / name))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252"])
def test_the_remedy_can_be_followed_as_it_is_written(tmp_path, encoding):
    path = tmp_path / "my stories.txt"
    path.write_bytes(TEXT.encode(encoding))
    with pytest.raises(ValueError, match="iconv") as caught:
        list(read_blocks(path))
    subprocess.run(str(caught.value).split("`")[1], shell=True, check=True)
    assert "".join(read_blocks(tmp_path / "utf8-my stories.txt")) == TEXT


def test_what_gzip_has_packed_is_read(tmp_path):
    path = tmp_path / "t.txt.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))
    assert "".join(read_blocks(path)) == TEXT
    assert unpacked_size(path) == len(TEXT.encode())


@pytest.mark.parametrize("damage", [lambda raw: raw[:-9], lambda raw: raw[:60] + b"?" + raw[61:]])
def test_a_damaged_packed_file_is_named(tmp_path, damage):
    path = tmp_path / "t.txt.gz"
    path.write_bytes(damage(gzip.compress(TEXT.encode())))
    with pytest.raises(ValueError, match=r"t\.txt\.gz is compressed with gzip and damaged"):
        list(read_blocks(path))


def test_the_suffix_is_that_of_the_unpacked_file(tmp_path):
    for name, suffix in (("a.TXT", ".txt"), ("a.jsonl.gz", ".jsonl"), ("a.b.CSV.GZ", ".csv")):
        assert data_suffix(tmp_path / name) == suffix
