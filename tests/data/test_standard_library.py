"""`bundled:python`: the standard library as a text, with the same modules held out everywhere."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest

from manticore.data import TextData, load_text
from manticore.data.resolve import open_source
from manticore.data.standard_library import LEFT_OUT, StandardLibrarySource, hash_place

HELD_OUT = ("cmd", "json", "operator", "queue", "re._parser", "xml.etree.ElementTree")
"""Modules of every version that the bundled component for code has not read."""


def source(root: Path | None = None, valid_fraction: float = 0.05) -> StandardLibrarySource:
    return StandardLibrarySource("python", valid_fraction, root)


def documents(opened: StandardLibrarySource, part: str) -> list[str]:
    texts = [""]
    for piece, ends_document in opened.pieces(part):
        texts[-1] += piece
        if ends_document:
            texts.append("")
    return texts[:-1]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A small standard library, with what is left out of one."""
    root = tmp_path / "lib"
    modules = {f"{name}.py": f"# Module {name}.\nNAME = {name!r}\n" for name in "abcdefghij"}
    modules |= {
        "json/__init__.py": "from json.decoder import *\n",
        "json/decoder.py": "# 1\n",
        "json/tests/test_decoder.py": "# a test\n",
        "test/test_a.py": "# a test\n",
        "site-packages/torch/__init__.py": "# not the standard library\n",
        "config-3.11-x86_64-linux-gnu/python-config.py": "# of the build\n",
        "__pycache__/a.py": "# compiled\n",
        "_sysconfigdata__linux_.py": "build_time_vars = {}\n",
        "encodings/cp1250.py": "table = {0x80: 0x20ac}\n",
        "notes.txt": "not a module\n",
    }
    for name, text in modules.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_it_is_the_running_pythons_own_code(tokenizer) -> None:
    data = load_text("bundled:python", tokenizer=tokenizer, seq_len=256, max_tokens=4096)
    assert data.name == "python"
    assert data.n_tokens == 4096
    assert data.floor is None
    assert len(data.valid) > 0
    train = "\n".join(documents(source(), "train"))
    assert "def dataclass(" in train
    assert "Licensed to PSF under a Contributor Agreement." in train


def test_every_document_is_a_whole_module() -> None:
    texts = [text for part in ("train", "valid") for text in documents(source(), part)]
    assert 300 < len(texts) <= len(source().modules)
    for text in texts:
        ast.parse(text)
    n_bytes = sum(len(text.encode()) for text in texts)
    held_out = sum(len(text.encode()) for text in documents(source(), "valid"))
    assert 0.01 < held_out / n_bytes < 0.15


def test_neither_tests_nor_tables_nor_other_packages_are_read(library: Path) -> None:
    names = [*"abcdefghij", "json", "json.decoder"]
    assert list(source(library).modules) == names
    assert not {part for name in source().modules for part in name.split(".")} & LEFT_OUT.keys()


def test_the_split_depends_on_names_alone(library: Path) -> None:
    def held_out(opened: StandardLibrarySource) -> set[str]:
        known = {path.read_text().strip(): name for name, path in opened.modules.items()}
        return {known[text] for text in documents(opened, "valid")}

    before = held_out(source(library, 0.3))
    assert before == {name for name in source(library).modules if hash_place(name) <= 0.3}
    assert before
    (library / "a.py").write_text("# Another version.\n")
    (library / "aa.py").write_text("# A new module.\n")
    assert held_out(source(library, 0.3)) - {"aa"} == before
    assert held_out(source(library, 1e-9)) == {min(source(library).modules, key=hash_place)}


def test_modules_that_the_component_for_code_has_not_read() -> None:
    places = {name: hash_place(name) for name in source().modules}
    assert all(places[name] <= 0.05 for name in HELD_OUT)
    assert places["dataclasses"] > 0.05


def test_a_larger_held_out_part_contains_a_smaller_one() -> None:
    small, large = (documents(source(None, share), "valid") for share in (0.05, 0.2))
    assert len(small) < len(large)
    assert set(small) < set(large)


def test_seeds_have_one_split(tokenizer) -> None:
    options = {"tokenizer": tokenizer, "seq_len": 64, "max_tokens": 2000}
    one, other = (load_text("bundled:python", seed=seed, **options) for seed in (0, 1))
    assert (one.valid.tokens == other.valid.tokens).all()
    assert one.spec["fingerprint"] == other.spec["fingerprint"]


def test_the_fingerprint_tells_versions_apart(library: Path, monkeypatch) -> None:
    def fingerprint(share: float = 0.05) -> str:
        return json.dumps(source(library, share).fingerprint())

    first = fingerprint()
    assert fingerprint() == first != fingerprint(0.1)
    monkeypatch.setattr(sys, "version_info", (3, 99, 0, "final", 0))
    newer = fingerprint()
    assert newer != first
    (library / "a.py").write_text("# A distribution's own patch.\n")
    assert fingerprint() != newer


def test_a_spec_rebuilds_the_code(tokenizer, caplog) -> None:
    data = load_text("bundled:python", tokenizer=tokenizer, seq_len=64, max_tokens=2000)
    again = TextData.from_spec(json.loads(json.dumps(data.spec)), tokenizer)
    assert (again.train.tokens == data.train.tokens).all()
    assert not TextData.has_changed(data.spec)
    assert "changed" not in caplog.text


def test_a_module_is_read_in_the_encoding_that_it_declares(library: Path) -> None:
    (library / "a.py").write_bytes(b"# -*- coding: latin-1 -*-\r\nname = '\xe9'\r\n")
    texts = documents(source(library), "train") + documents(source(library), "valid")
    assert "# -*- coding: latin-1 -*-\nname = 'é'" in texts


@pytest.mark.parametrize("name", ["bundled:python?n_stories=4", "bundled:python?"])
def test_code_has_no_number_of_stories(tokenizer, name: str) -> None:
    with pytest.raises(ValueError, match=r"code has no number of stories. Write bundled:python, "):
        load_text(name, tokenizer=tokenizer)


@pytest.mark.parametrize("option", ["document_separator", "config_name", "text_column"])
def test_what_means_nothing_for_code_is_refused(tokenizer, option: str) -> None:
    with pytest.raises(ValueError, match=f"{option}='x' does not apply to a bundled text"):
        load_text("bundled:python", tokenizer=tokenizer, **{option: "x"})


def test_a_python_without_sources_is_named(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "python311.zip"):
        with pytest.raises(FileNotFoundError, match=f"source .* in {re.escape(str(root))}. Use"):
            source(root).fingerprint()


def test_a_source_is_opened_by_its_name() -> None:
    spec = {"source": "bundled:python", "valid_fraction": 0.05, "seed": 0, "text_column": "text"}
    opened = open_source({**spec, "document_separator": None, "config_name": None})
    assert isinstance(opened, StandardLibrarySource)
    assert opened.modules
