"""The tasks of Long Range Arena: each against an account of its own, and what its data are."""

import re

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Image, Value
from pydantic import ValidationError

from manticore.config.setting import LONG_RANGE_PRESETS
from manticore.names import LONG_RANGE_TASKS
from manticore.tasks import Setting, chance_accuracy, find_task, make_task, preset_settings
from manticore.tasks.drawing import Draw
from manticore.tasks.lra import byte_text, listops, pathfinder

FEW = {"train_examples": 40, "valid_examples": 20, "test_examples": 20}
COMMON = {
    *("Once", "Many", "At", "As", "When", "He", "She", "It", "His", "Her"),
    *("Había", "Hace", "Era", "Tenía", "Vivía", "Al", "Cuando"),
}
"""Words that begin sentences of many stories."""
QUICK = [name for name in LONG_RANGE_TASKS if find_task(name).quick is not None]


def draw(n: int, part: str = "test", seed: int = 0) -> Draw:
    return Draw(n, part, np.random.default_rng(seed), np.random.SeedSequence(seed))


def few(task: str, **options: object) -> Setting:
    return Setting(task=task, **{**(find_task(task).quick or {}), **FEW, **options})


@pytest.mark.parametrize("task", QUICK)
def test_a_data_set_of_each(task: str) -> None:
    data, again = (make_task(task, few(task), seed=3) for _ in range(2))
    labels = find_task(task).labels(data.setting)
    shape = (2, data.length) if find_task(task).pairs else (data.length,)
    for part in ("train", "valid", "test"):
        examples, same = getattr(data, part), getattr(again, part)
        assert torch.equal(examples.input_ids, same.input_ids)
        assert torch.equal(examples.labels, same.labels)
        items = [examples[index] for index in range(len(examples))]
        assert all(item["input_ids"].shape == shape for item in items)
        assert all(item["input_ids"].dtype == torch.int64 for item in items)
        ids = torch.stack([item["input_ids"] for item in items])
        assert 0 <= int(ids.min()) <= int(ids.max()) < data.setting.vocabulary
        assert 0 <= int(examples.labels.min()) <= int(examples.labels.max()) < len(labels)
    assert (len(data.train), len(data.valid), len(data.test)) == (40, 20, 20)
    seen = {row.numpy().tobytes() for row in data.train.input_ids}
    held_out = [row.numpy().tobytes() for row in [*data.valid.input_ids, *data.test.input_ids]]
    assert not seen & set(held_out)
    other = make_task(task, few(task), seed=4)
    assert not torch.equal(other.train.input_ids, data.train.input_ids)
    assert 0 <= chance_accuracy(data) < 0.8


def test_presets_have_the_published_sizes() -> None:
    paper = {s.task: s for s in preset_settings("paper", LONG_RANGE_PRESETS)}
    assert [*paper, "path-x"] == list(LONG_RANGE_TASKS)
    lengths = {name: setting.length for name, setting in paper.items()}
    assert lengths == {
        "listops": 2000,
        "text": 2048,
        "retrieval": 4000,
        "image": 1024,
        "pathfinder": 1024,
    }
    (longest,) = preset_settings("path-x", LONG_RANGE_PRESETS)
    assert longest.length == 16384
    assert [s.task for s in preset_settings("quick", LONG_RANGE_PRESETS)] == QUICK
    assert {paper[name].data for name in ("text", "retrieval", "image")} == {"published"}


# ListOps ------------------------------------------------------------------------------------------


RULES = {
    "[MIN": min,
    "[MAX": max,
    "[MED": lambda own: int(np.median(own)),
    "[SM": lambda own: sum(own) % 10,
}


def worked_out(words: list[str]) -> list[int]:
    """The values of expressions, which are read word by word as people do."""
    levels: list[tuple[str, list[int]]] = [("", [])]
    for word in words:
        if word in RULES:
            levels.append((word, []))
            continue
        value = int(word) if word != "]" else None
        if value is None:
            operator, own = levels.pop()
            value = RULES[operator](own)
        levels[-1][1].append(value)
    ((_, values),) = levels
    return values


@pytest.mark.parametrize("size", [{}, find_task("listops").quick], ids=["published", "quick"])
def test_an_expression_has_its_value_and_its_length(size: dict) -> None:
    setting = Setting(task="listops", **size)
    inputs, targets = find_task("listops").generate(setting, draw(60))
    lengths = (inputs >= 0).sum(axis=1)
    assert setting.longer_than < lengths.min() <= lengths.max() < setting.length
    for row, target in zip(inputs, targets, strict=True):
        assert worked_out(listops.expression(row).split()) == [target]


def test_expressions_are_drawn_as_published() -> None:
    """One node at a time, as the published generator does, gives trees of the same kinds."""
    setting = Setting(task="listops", length=200, longer_than=20, depth=5, arguments=6)
    rng = np.random.default_rng(1)

    def tree(depth: int) -> tuple[int, int, int]:
        """Tokens, operators and levels of a random tree."""
        if depth == setting.depth or rng.random() > listops.OPERATOR_SHARE:
            return 1, 0, 1
        below = [tree(depth + 1) for _ in range(rng.integers(2, setting.arguments + 1))]
        tokens, operators, levels = zip(*below, strict=True)
        return 2 + sum(tokens), 1 + sum(operators), 1 + max(levels)

    theirs = []
    while len(theirs) < 4000:
        found = tree(1)
        if setting.longer_than < found[0] < setting.length:
            theirs.append(found)
    inputs, _ = find_task("listops").generate(setting, draw(4000))
    opened = (inputs >= listops.DIGITS) & (inputs < listops.CLOSE)
    levels = 1 + np.cumsum(opened.astype(int) - (inputs == listops.CLOSE), axis=1).max(axis=1)
    ours = np.stack([(inputs >= 0).sum(axis=1), opened.sum(axis=1), levels], axis=1)
    for mine, yours in zip(ours.T, np.array(theirs).T, strict=True):
        error = np.hypot(mine.std(), yours.std()) / np.sqrt(4000)
        assert abs(mine.mean() - yours.mean()) < 4 * error
        assert mine.std() / yours.std() == pytest.approx(1, abs=0.1)
    kinds = np.bincount(inputs[opened] - listops.DIGITS, minlength=4) / opened.sum()
    np.testing.assert_allclose(kinds, 0.25, atol=0.01)


def test_expressions_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValidationError, match="longer_than=10 and shorter than length=11"):
        Setting(task="listops", length=11, longer_than=10)
    never = Setting(task="listops", length=900, longer_than=800, depth=2, arguments=3)
    with pytest.raises(ValueError, match="set longer_than lower, or depth higher"):
        find_task("listops").generate(never, draw(1))


# Pathfinder ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawings() -> list[pathfinder.Drawing]:
    rng = np.random.default_rng(5)
    setting = Setting(task="pathfinder")
    return [pathfinder.draw_paths(setting, rng) for _ in range(200)]


def long_paths(drawing: pathfinder.Drawing) -> np.ndarray:
    """(2, 14, 2, 2): path, dash, end, (y, x)."""
    return drawing.dashes[:28].reshape(2, 14, 2, 2)


def test_paths_are_as_published(drawings: list[pathfinder.Drawing]) -> None:
    pen = pathfinder.PENS[32]
    long = np.array([long_paths(drawing) for drawing in drawings])
    assert np.isfinite(long).all()
    vectors = long[..., 1, :] - long[..., 0, :]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), pen.dash)
    first = np.linalg.norm(long[:, 0, 0, 0] - long[:, 1, 0, 0], axis=-1)
    np.testing.assert_allclose(first, pen.apart)
    assert ((long >= 1) & (long <= 31)).all()
    # Bends: cos(angle)^2, cut to what is free, up to a right angle.
    headings = np.arctan2(vectors[..., 0], vectors[..., 1])
    bends = (np.diff(headings, axis=-1) + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(bends).max() < np.pi / 2
    gaps = long[..., 1:, 0, :] - long[..., :-1, 1, :]
    np.testing.assert_allclose(
        np.linalg.norm(gaps, axis=-1), 2 * pen.margin * np.cos(bends / 2), atol=1e-9
    )
    free = np.abs(bends[:, :, 0])  # the first bend has the most room
    expected = np.pi / 4 - 1 / np.pi
    assert free.mean() == pytest.approx(expected, abs=0.12)
    short = np.array([drawing.dashes[28:] for drawing in drawings])
    assert short.shape[1:] == (20, 4), "five paths of a third of the dashes"
    assert np.isfinite(short).all(axis=2).mean() > 0.8


def test_paths_keep_away_from_each_other(drawings: list[pathfinder.Drawing]) -> None:
    for drawing in drawings[:40]:
        dashes = drawing.dashes.reshape(-1, 2, 2)
        points = dashes.mean(axis=1)
        distance = np.linalg.norm(points[:, None] - points, axis=-1)
        index = np.arange(len(points))
        apart = np.abs(index[:, None] - index) > 1
        assert np.nanmin(distance[apart]) > 1.5 * pathfinder.PENS[32].margin - 1e-9


def test_dots_are_on_the_ends_that_the_label_says(drawings: list[pathfinder.Drawing]) -> None:
    for drawing in drawings:
        long = long_paths(drawing)
        starts = np.linalg.norm(long[:, 0, 0] - drawing.dots[0], axis=-1)
        ends = np.linalg.norm(long[:, -1, 1] - drawing.dots[1], axis=-1)
        assert starts.min() == ends.min() == 0
        assert (starts.argmin() == ends.argmin()) == drawing.joined
    assert 60 < sum(drawing.joined for drawing in drawings) < 140


@pytest.mark.parametrize("size", [{}, find_task("pathfinder").quick], ids=["published", "quick"])
def test_how_far_apart_the_dots_are_does_not_tell(size: dict) -> None:
    rng, setting = np.random.default_rng(0), Setting(task="pathfinder", **size)
    drawn = [pathfinder.draw_paths(setting, rng) for _ in range(1200)]
    distances = np.array([np.linalg.norm(np.diff(one.dots, axis=0)) for one in drawn])
    joined = np.array([one.joined for one in drawn])
    bins = np.digitize(distances, np.quantile(distances[:600], np.linspace(0, 1, 9)[1:-1]))
    shares = np.array([joined[:600][bins[:600] == index].mean() for index in range(8)])
    assert ((shares[bins[600:]] > 0.5) == joined[600:]).mean() < 0.6


def test_an_image_shows_the_paths(drawings: list[pathfinder.Drawing]) -> None:
    setting = Setting(task="pathfinder")
    image = pathfinder.gray_values(drawings[0], setting)
    assert image.shape == (32, 32)
    assert 0 == image.min() < image.max() == 255
    ys, xs = np.nonzero(image)
    drawn = drawings[0].dashes[np.isfinite(drawings[0].dashes[:, 0])].reshape(-1, 2, 2)
    for y, x in drawn.mean(axis=1):
        assert (np.hypot(ys + 0.5 - y, xs + 0.5 - x) < 1.5).any(), "every dash is seen"
    marks = [*drawn.mean(axis=1), *drawings[0].dots]
    for y, x in zip(ys, xs, strict=True):
        nearest = min(np.hypot(y + 0.5 - p, x + 0.5 - q) for p, q in marks)
        assert nearest < 3, "and nothing else"
    for y, x in drawings[0].dots:
        assert image[int(y), int(x)] == 255


def test_path_x_is_the_same_in_large() -> None:
    setting = Setting(task="path-x")
    drawing = pathfinder.draw_paths(setting, np.random.default_rng(0))
    assert setting.side == 128
    assert np.isfinite(long_paths(drawing)).all()
    assert pathfinder.gray_values(drawing, setting).shape == (128, 128)


def test_images_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValidationError, match="as many rows as columns"):
        Setting(task="pathfinder", length=1000)
    crowded = Setting(task="pathfinder", length=144, dashes=40)
    with pytest.raises(ValueError, match="set fewer dashes"):
        pathfinder.draw_paths(crowded, np.random.default_rng(0))


# Data of their own --------------------------------------------------------------------------------


def test_both_texts_of_a_pair_name_who_it_is_about() -> None:
    data = make_task("retrieval", few("retrieval", **{**FEW, "train_examples": 400}))
    named, together = [], data.train.labels.bool().tolist()
    for pair in data.train.input_ids.tolist():
        words = [
            set(re.findall(r"[A-ZÁÉÍÓÚÑ]\w+", bytes(ids).decode("utf8", "ignore"))) for ids in pair
        ]
        named.append(bool(words[0] & words[1] - COMMON))
    right = [one == other for one, other in zip(named, together, strict=True)]
    assert sum(right) / len(right) > 0.88


def test_no_module_is_in_two_parts_of_the_code() -> None:
    parts = [byte_text._code(part) for part in ("train", "valid", "test")]
    for package, texts in zip(byte_text.PACKAGES, zip(*parts, strict=True), strict=True):
        assert min(len(text) for text in texts) > 2_000, package
        for text, other in ((texts[0], texts[1]), (texts[0], texts[2]), (texts[1], texts[2])):
            window = text[500:900]
            assert window not in other


def test_published_reviews_are_read_from_a_folder(tmp_path) -> None:
    for split, n in (("train", 60), ("test", 20)):
        rows = {"text": [f"{split} {i} ñ" for i in range(n)], "label": [i % 2 for i in range(n)]}
        Dataset.from_dict(rows).to_parquet(tmp_path / f"{split}.parquet")
    sizes = {**FEW, "valid_examples": 5}
    data = make_task("text", few("text", data=str(tmp_path), length=12, **sizes))
    item = data.test[0]
    text = bytes(item["input_ids"][item["attention_mask"] == 1].tolist()).decode()
    assert text.startswith("test ")
    assert int(text.split()[1]) % 2 == item["labels"]
    assert find_task("text").labels(data.setting) == byte_text.OPINIONS
    with pytest.raises(ValueError, match=r"There are 20 reviews to test on.* 21 .*--examples"):
        make_task("text", few("text", data=str(tmp_path), **{**sizes, "test_examples": 21}))


def test_published_papers_are_read_from_a_folder(tmp_path) -> None:
    folder = tmp_path / "data" / "aan"
    folder.mkdir(parents=True)
    for name in ("train", "eval", "test"):
        with (folder / f"new_aan_pairs.{name}.tsv").open("w") as file:
            for i in range(50):
                file.write(f'{float(i % 2)}\tP{i}\tQ{i}\tb"one" {i}\ttwo {i}\n')
    data = make_task("retrieval", few("retrieval", data=str(tmp_path), length=16))
    item = data.valid[0]
    first, second = (
        bytes(ids[mask == 1].tolist()).decode()
        for ids, mask in zip(item["input_ids"], item["attention_mask"], strict=True)
    )
    assert first.startswith('b"one" ')
    assert second == f"two {first.split()[1]}"
    assert int(first.split()[1]) % 2 == item["labels"]


def test_published_images_are_read_from_a_folder(tmp_path) -> None:
    features = Features({"img": Image(), "label": Value("int64")})
    for split, n in (("train", 60), ("test", 20)):
        images = [np.full((32, 32, 3), i, np.uint8) for i in range(n)]
        rows = {"img": images, "label": [i % 10 for i in range(n)]}
        Dataset.from_dict(rows, features=features).to_parquet(tmp_path / f"{split}.parquet")
    sizes = {**FEW, "valid_examples": 5}
    for length in (64, 1024):
        data = make_task("image", few("image", data=str(tmp_path), length=length, **sizes))
        item = data.train[0]
        (gray,) = set(item["input_ids"].tolist())
        assert gray % 10 == item["labels"]


def test_data_that_are_not_there_say_what_to_do(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="data=stand-in"):
        make_task("text", few("text", data=str(tmp_path / "none")))
    Dataset.from_dict({"words": ["a"]}).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match=r"no column text \(the review\), label"):
        make_task("text", few("text", data=str(tmp_path)))
    with pytest.raises(ValidationError, match="not a size of these images"):
        Setting(task="image", length=100)
    with pytest.raises(ValueError, match="There are 300 digits to test on"):
        make_task("image", few("image", **{**FEW, "test_examples": 400}))
