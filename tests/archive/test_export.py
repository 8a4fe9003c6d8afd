"""An exported run: a Transformers folder, what was measured, figures, and a notebook."""

import csv
import io
import json
import re
import subprocess
import zipfile
from pathlib import Path

import nbformat
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM

from manticore.archive import card, export_run, figures
from manticore.archive.notebook import again
from manticore.runs import Run, get_run, launch, runs
from manticore.runs.launch import make_run_folder
from manticore.store.status import write_status
from manticore.views.panels import panels_for


@pytest.fixture(scope="module")
def unpacked(done: Run, exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(exported) as archive:
        archive.extractall(folder)
    return folder / done.id


def rows(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text())))


def test_the_hybrid_is_a_transformers_folder(done: Run, unpacked: Path) -> None:
    hybrid = AutoModelForCausalLM.from_pretrained(unpacked / "hybrid")
    for name, tensor in done.hybrid().state_dict().items():
        assert torch.equal(hybrid.state_dict()[name], tensor), name


def test_the_model_card_is_one_that_the_hub_reads(done: Run, unpacked: Path) -> None:
    read = ModelCard.load(unpacked / "hybrid" / "README.md")
    assert read.data.library_name == "transformers"
    assert {"manticore", "search"} <= set(read.data.tags)
    (result,) = read.data.eval_results
    assert result.metric_value == pytest.approx(done.metrics()["perplexity"], abs=1e-3)
    assert r"# Fox \| \<b\>hunt\</b\>: \`1\`" in read.text
    assert r"> \# not a title" in read.text
    weight = f"{done.mixture_history()[-1, 1, 1]:.3f}"
    assert re.search(rf"\| block 2 \| [\d.]+ \| {weight} \|", read.text)
    assert "alone |" in read.text
    assert str(done.folder.parent.parent) not in read.content, (
        "folders of this machine are nobody's"
    )


def test_a_component_of_the_hub_is_named_as_a_base(done: Run) -> None:
    names = ("owner/small-llama", "owner/pack/model.gguf", *done.config.components)
    run = Run(done.folder)
    run.config = done.config.model_copy(update={"components": names})
    header = card._header(run, done.metrics())
    assert header.base_model == ["owner/small-llama", "owner/pack"]


def test_every_kind_of_event_is_a_table(done: Run, unpacked: Path) -> None:
    mixtures = rows(unpacked / "mixture_weights.csv")
    assert len(mixtures) == len(done.mixture_steps) * 4
    assert float(mixtures[-1]["mixture_weight"]) == done.mixture_history()[-1, 1, 1]
    steps, losses = done.losses()
    told = [(int(row["step"]), float(row["loss"])) for row in rows(unpacked / "loss.csv")]
    assert told == list(zip(steps.tolist(), losses.tolist(), strict=True))
    measured = {row["metric"]: row["value"] for row in rows(unpacked / "evaluations.csv")}
    assert float(measured["perplexity"]) == done.metrics()["perplexity"]
    assert sum(name.startswith("components.") for name in measured) == 2
    assert {row["group"] for row in rows(unpacked / "learning_rates.csv")} > {"mixture"}
    assert rows(unpacked / "samples.csv")[0]["prompt"]
    assert "</script>" in rows(unpacked / "warnings.csv")[-1]["message"]


def test_the_figures_are_one_page_without_a_network(done: Run, unpacked: Path) -> None:
    page = (unpacked / "figures.html").read_text()
    drawn = figures.draw_panels(done)
    assert page.count("Plotly.newPlot(") == sum(not isinstance(f, str) for _, f in drawn)
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)
    assert "<b>hunt" not in page
    for panel in panels_for("search"):
        assert (panel.title in page) == any(panel is one for one, _ in drawn)


def test_a_label_of_a_figure_ends_no_script(done: Run) -> None:
    (panel, figure), *_ = (pair for pair in figures.draw_panels(done) if pair[0].name == "loss")
    figure.update_layout(title="</script><script>alert(1)")
    assert "</script><script>alert" not in figures.figures_page("x", [(panel, figure)])


def test_what_is_in_it_is_told_and_why_there_are_no_pngs(unpacked: Path) -> None:
    told = (unpacked / "README.md").read_text()
    for path in unpacked.iterdir():
        if path.name != "README.md":
            assert f"`{path.name}{'/' if path.is_dir() else ''}`" in told
    if not (unpacked / "figures").is_dir():
        assert "press the camera" in told
        assert "pip install kaleido" in told


def test_pngs_are_drawn_where_a_browser_can(done: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = figures.draw_panels(done)

    def write(plots, files, **_):
        for plot, file in zip(plots, files, strict=True):
            assert plot.layout.paper_bgcolor == "#fff"
            file.write_bytes(b"\x89PNG")

    monkeypatch.setattr(figures, "find_spec", lambda _: True)
    monkeypatch.setattr(figures.plotly.io, "write_images", write)
    images, why = figures.pngs(drawn)
    assert why == ""
    assert set(images) == {panel.name for panel, figure in drawn if not isinstance(figure, str)}

    def fail(*_, **__):
        raise RuntimeError("no chrome")

    monkeypatch.setattr(figures.plotly.io, "write_images", fail)
    assert figures.pngs(drawn) == ({}, "kaleido found no Chrome or Chromium that starts")
    monkeypatch.setattr(figures, "find_spec", lambda _: None)
    assert figures.pngs(drawn) == ({}, "the package kaleido is not installed")


def test_the_notebook_does_the_run_again(done: Run, unpacked: Path, monkeypatch) -> None:
    book = nbformat.read(unpacked / "again.ipynb", as_version=4)
    nbformat.validate(book)
    assert "the text `" in book.cells[0].source
    monkeypatch.setattr(launch, "start_process", lambda *_: subprocess.Popen(["true"]))
    monkeypatch.setattr(Run, "watch", lambda self: None)
    root = unpacked / "again"
    monkeypatch.setenv("MANTICORE_RUNS", str(root))
    space: dict = {}
    for cell in book.cells[1:]:
        exec(cell.source, space)
    (made,) = runs(root)
    assert made.config.options == done.config.options
    assert made.config.components == done.config.components


def test_a_notebook_repeats_what_came_before(done: Run) -> None:
    parent = {"run": done.id, "original": True, "config": done.config}
    start = {"digest": "x", "parent": parent}
    described = {"stage": "finetune", "options": {"steps": 3}, "start": start}
    config = type(done.config).model_validate(
        done.config.model_dump(exclude={"stage", "options", "start"}) | described
    )
    codes = [cell["source"] for cell in json.loads(again(config, "x"))["cells"]]
    assert "mc.build_hybrid" in codes[1]
    assert codes[2] == "run.wait()"
    assert "start = run\n" in codes[3]
    assert "mc.finetune(start, text, steps=3" in codes[3]
    alone = config.model_copy(update={"start": config.start.model_copy(update={"parent": None})})
    assert 'from_pretrained("start")' in again(alone, "x").replace('\\"', '"')


def test_a_run_without_an_end_is_not_exported(done: Run, tmp_path: Path) -> None:
    unfinished = Run(make_run_folder(done.config, root=tmp_path / "runs"))
    with pytest.raises(FileNotFoundError, match="hybrid"):
        export_run(unfinished, tmp_path / "no.zip")
    evaluation = done.config.model_dump(exclude={"options", "stage"}) | {"stage": "evaluate"}
    started = make_run_folder(type(done.config).model_validate(evaluation), root=tmp_path / "runs")
    done.hybrid().save_pretrained(started / "start")
    write_status(started, "stopped")
    with pytest.raises(FileNotFoundError, match="only checkpoints so far"):
        export_run(get_run(started.name, tmp_path / "runs"), tmp_path / "no.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
