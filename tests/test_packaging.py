"""The package as it is installed: built, put into a fresh environment, used far from the checkout.

The environment reuses the installed dependencies, so that it is ready in seconds.
"""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import tomllib
import urllib.request
import venv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.parser import Parser
from pathlib import Path
from typing import TextIO

import pytest

from tests.browsing import free_port

ROOT = Path(__file__).parents[1]
PACKAGED = ("app", "assets", "manticore", "notebooks")
SOURCES = ("LICENSE", "README.md", *PACKAGED, "pyproject.toml", "setup.py")
PART_OF = {
    "IPython": "jupyterlab",
    "PIL": "pillow",
    "llvmlite": "numba",
    "pydantic_core": "pydantic",
    "ruamel": "ruamel.yaml",
    "sklearn": "scikit_learn",
    "typing_extensions": "pydantic",
}
"""What is imported under another name than that of the package that brings it."""
COMPILED = shutil.ignore_patterns("__pycache__", "*.pyc")


def _files(folder: Path) -> set[str]:
    """Paths of all files below a folder, relative to it, without what Python leaves there."""
    files = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return {file.as_posix() for file in files if "__pycache__" not in file.parts}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution, as who installs from a registry may get it."""
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=COMPILED)
        else:
            shutil.copy(ROOT / name, source / name)
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    _done([sys.executable, "-c", build, str(folder)], cwd=source)
    (archive,) = folder.glob("*.tar.gz")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    _done([sys.executable, "-m", "pip", "wheel", *options, "-w", str(folder), str(archive)])
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of programs of an environment with the wheel and none of the checkout."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    python = programs / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(_done([str(python), "-c", ask]).strip())
    # A plain path: an editable install there, which works by a .pth file of its own, is left out.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    options = ["--quiet", "--no-deps", "--no-index", "--force-reinstall", "--no-compile"]
    _done([sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(wheel)])
    return programs


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder whose files have the names of the package's own and of the standard library's."""
    for name in ("app", "assets", "manticore", "manticore_app"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise ImportError('{name} is not yours')")
    for name in ("random", "typing", "torch"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is not yours')")
    return tmp_path


def test_every_package_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        declared += extra
    names = {re.split(r"[\[><=;]", name)[0].replace("-", "_") for name in declared}
    for file in [*(ROOT / "manticore").rglob("*.py"), *(ROOT / "app").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                imported = [node.module or ""]
            for module in imported:
                package = module.split(".")[0]
                if package not in {"manticore", *sys.stdlib_module_names}:
                    package = PART_OF.get(package, package)
                    assert package in names, f"{file} imports {module}"


def _environment(**more: str) -> dict[str, str]:
    hidden = ("PYTHONPATH", "MANTICORE_ZOO", "MANTICORE_RUNS")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**kept, "OMP_NUM_THREADS": "1", **more}


def _done(command: list[str], cwd: Path | None = None) -> str:
    """What a command prints; its own words where it fails."""
    done = subprocess.run(
        command, cwd=cwd, env=_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def _process(command: list[str], folder: Path, output: TextIO) -> Iterator[subprocess.Popen]:
    """A command that has been started, and is killed if it is still there at the end."""
    with subprocess.Popen(
        command, cwd=folder, env=_environment(), stdout=output, stderr=subprocess.STDOUT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait_for(
    condition: Callable[[], bool],
    process: subprocess.Popen | None = None,
    log: Path | None = None,
) -> None:
    """Wait until something is so, as long as a process is at work on it, with its log if not."""
    deadline = time.monotonic() + 240
    while not condition():
        said = log.read_text() if log else ""
        assert process is None or process.poll() is None, f"it ended by itself: {said}"
        assert time.monotonic() < deadline, f"it did not come about in time: {said}"
        time.sleep(0.2)


def test_the_wheel_has_all_files_of_the_packages_and_takes_no_common_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        fields = Parser().parsestr(archive.read(metadata).decode())
    assert {name.split("/")[0] for name in names} == {
        "manticore",
        "manticore_app",
        "manticore_assets",
        "manticore_notebooks",
    }
    expected = {f"manticore/{file}" for file in _files(ROOT / "manticore")}
    expected |= {f"manticore_app/{file}" for file in _files(ROOT / "app")}
    expected |= {
        f"manticore_assets/{file}"
        for file in _files(ROOT / "assets")
        if file.startswith(("gallery/", "recipes/", "zoo/")) or file == "__init__.py"
    }
    expected |= {
        f"manticore_notebooks/{file}"
        for file in _files(ROOT / "notebooks")
        if file.endswith(".ipynb") or file == "__init__.py"
    }
    assert names == expected
    assert "manticore/py.typed" in names
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert fields["License-Expression"] == "Apache-2.0"
    assert fields.get_all("License-File") == ["LICENSE"]
    assert set(fields.get_all("Provides-Extra")) == set(project["optional-dependencies"])


def test_a_notebook_is_copied_from_the_installed_package(installed: Path, elsewhere: Path) -> None:
    subprocess.run([installed / "manticore", "notebook", "3"], cwd=elsewhere, check=True)
    (copied,) = elsewhere.glob("03-*.ipynb")
    assert copied.read_bytes() == (ROOT / "notebooks" / copied.name).read_bytes()


def test_the_demo_runs_from_any_folder(installed: Path, elsewhere: Path) -> None:
    """Its first run, of the bundled components, and Ctrl-C in the second, which is like it."""
    command = [str(installed / "manticore"), "demo", "--steps", "5"]
    log = elsewhere / "demo.log"
    with log.open("w") as output, _process(command, elsewhere, output) as demo:
        _wait_for(lambda: "\nstories-en\nloading" in log.read_text(), demo, log)
        fitted, static = sorted(elsewhere.glob("runs/*"))
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
        os.kill(_status(static)["pid"], signal.SIGKILL)
        _wait_for(lambda: _status(fitted)["state"] == "done")
    said = log.read_text()
    assert "tales-neox" in said
    assert "fitted router, no training" in said
    assert f"The run continues. Watch it again: manticore watch {static.name}" in said


def _status(run: Path) -> dict:
    return json.loads((run / "status.json").read_text())


def test_bundled_data_are_found_by_name_where_the_package_is_installed(
    installed: Path, elsewhere: Path
) -> None:
    program = (
        "import manticore as mc\n"
        "from manticore.components.zoo import zoo_folder, zoo_names\n"
        "print(zoo_folder(), *zoo_names(), mc.Recipe.from_yaml('bilingual').name, sep='\\n')\n"
    )
    folder, *names = _done([str(installed / "python"), "-Pc", program], cwd=elsewhere).split()
    assert Path(folder).is_relative_to(installed.parent)
    assert names == [
        "novelas-mamba",
        "stdlib-llama",
        "tales-mamba",
        "tales-neo",
        "tales-neox",
        "bilingual",
    ]


def test_the_page_is_ours_in_a_folder_with_an_app_of_its_own(
    installed: Path, elsewhere: Path
) -> None:
    port = free_port()
    command = [str(installed / "manticore"), "app", "--port", str(port)]
    log = elsewhere / "page.log"
    answers = []

    def answered() -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            answers.append(answer.read().decode())
        return bool(answers)

    with log.open("w") as output, _process(command, elsewhere, output) as page:
        _wait_for(answered, page, log)
    assert '"title":"Manticore"' in answers[0]
