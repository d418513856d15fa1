"""Whole runs on pictures with masks: verdict, views, export, resuming, teachers of one's own, and the command line."""

import json

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from e2e_masks import circles, folder_of
from e2e_runs import consistent, distil, score, trivial, weight_bytes
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import limbeck as lb
from limbeck.cli.main import app
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.core.errors import ConfigError, LimbeckError, ShapeMismatch
from limbeck.stages import train
from limbeck.transfer.exchange import export_parquet
from limbeck.transfer.store import Store

PLAN = lb.TrainSpec(steps=30, batch_size=8, learning_rate=0.02, validate_every=15)


def made(**more):
    images, masks = circles(24)
    given = [None if row % 6 == 0 else mask for row, mask in enumerate(masks)]
    masked = masks.astype(np.int64)
    masked[:, 0] = 255  # pixels of the first line have no label
    settings = {"classes": ["ground", "cell"], "unlabeled": circles(20, 3)[0], "test": circles(40, 1)}
    train_rows = (images, [None if mask is None else m for mask, m in zip(given, masked, strict=True)])
    return lb.Data(train=train_rows, **settings | more)


def run_of(folder, **more):
    settings = {"train": PLAN, "teacher_train": PLAN, "until": "report"}
    return distil("unet(width=6, depth=2)", "unet(width=3, depth=1)", made(), folder, **settings | more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    data = made(view="flip + rot90 + shift(2)", views=3)
    objective = "0.25 * CE + 0.25 * Dice + 0.5 * KD(temperature=1) + 0.1 * CWD"
    return distil(
        "unet(width=6, depth=2)", "unet(width=3, depth=1)", data, tmp_path_factory.mktemp("masks") / "run", train=PLAN,
        teacher_train=PLAN, until="report", objective=objective,
    )  # fmt: skip


def test_masks_get_a_verdict_over_images(whole):
    card = consistent(whole, metric="mean_iou")["tasks"]["main"]
    assert card["names"] == ["ground", "cell"] and card["counts"]["test_rows"] == 40
    assert score(whole) > 0.7 > trivial(whole) and score(whole, "teacher") > 0.8
    assert set(card["arms"]["student"]["metrics"]) == {"mean_iou", "dice", "pixel_accuracy", "iou.ground", "iou.cell"}
    assert 0.8 < whole.agreement.value <= 1 and {line["name"] for line in card["classes"]} == {"ground", "cell"}
    assert "mean iou" in str(whole) and "iou.cell" in (whole.folder / "report.html").read_text()


def test_answers_of_every_pixel_and_view_are_stored(whole):
    store = Store(whole.folder / "transfer")
    rows = len(store) // 3
    assert store.views == 3 and store.row_bytes == 16 * 16 * 2 * 2
    assert store.gather(np.arange(2))["main"].shape == (2, 256, 2) and rows == 20 + 24 - 4
    sizes = [path.stat().st_size for path in (whole.folder / "predictions").glob("test-*")]
    assert max(sizes) < 40 * 256  # less than a byte for each pixel


def test_stored_answers_leave_as_a_table_and_teach_again(whole, tmp_path):
    path = export_parquet(whole.folder / "transfer", tmp_path / "answers.parquet")
    table = pd.read_parquet(path)
    store = Store(whole.folder / "transfer")
    assert len(table) == len(store)
    assert np.allclose(table["main"].iloc[5], np.asarray(store.gather(np.array([5]))["main"]).reshape(-1))
    data = made(view="flip + rot90 + shift(2)", views=3)
    few = lb.TrainSpec(steps=4, batch_size=8)
    again = distil(f"answers:{whole.folder}", "unet(width=3, depth=1)", data, tmp_path / "again", train=few, seeds=1)
    assert score(again, "teacher") == pytest.approx(score(whole, "teacher"))


def test_the_exported_student_decides_as_the_student(whole):
    images = circles(30, 5)[0]
    said = OnnxStudent(whole.exported).predict(images)
    with torch.no_grad():
        logits = whole.student(torch.from_numpy(made().preprocess.encode(images)))
    assert logits.shape == (30, 2, 16, 16) and said.dtype == np.uint8
    assert (said == logits.argmax(1).numpy()).all() and (said == whole.predict(images)).all()
    plain = onnxruntime.InferenceSession(whole.exported, providers=["CPUExecutionProvider"])
    label, chances = plain.run(["label", "probabilities"], {"input": images})
    assert (label == said).all() and np.allclose(chances.sum(axis=1), 1, atol=1e-5)
    parity = json.loads((whole.folder / "export" / "parity.json").read_text())
    assert parity["held"] and parity["heads"]["main"]["flips"] == 0
    assert parity["heads"]["main"]["decisions"] == 40 * 256


def test_a_run_that_was_killed_goes_on_and_comes_to_the_same(tmp_path, monkeypatch):
    few = {"train": lb.TrainSpec(steps=6, batch_size=8, checkpoint_every=4), "until": "evaluate", "ignore": ("LB201",)}
    once = run_of(tmp_path / "once", **few)
    calls, real = [], train.train_arm

    def killed(*arguments):
        calls.append(arguments[1].name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(train, "train_arm", killed)
        with pytest.raises(KeyboardInterrupt):
            run_of(tmp_path / "twice", **few)
    twice = run_of(tmp_path / "twice", **few)
    assert weight_bytes(once, "student") == weight_bytes(twice, "student")
    assert weight_bytes(once, "control") == weight_bytes(twice, "control")
    assert once.scorecard["tasks"] == twice.scorecard["tasks"]


class Own(nn.Module):
    """A network of the user's own: it knows what is bright, and says so in probabilities."""

    def __init__(self, coarse=False):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.coarse = coarse

    def forward(self, images):
        bright = nn.functional.avg_pool2d(images, 3, 1, 1) * self.weight
        chance = torch.sigmoid(4 * bright)
        chance = nn.functional.avg_pool2d(chance, 2) if self.coarse else chance
        return torch.cat([1 - chance, chance], dim=1)


def bright(images):
    """The same of raw pixels, without torch."""
    chance = 1 / (1 + np.exp(-(images.astype(np.float32) - 115) / 8))
    return np.stack([1 - chance, chance], axis=1)


@pytest.mark.parametrize("teacher", [Own(), bright])
def test_teachers_of_ones_own(teacher, tmp_path):
    run = distil(teacher, "unet(width=3, depth=1)", made(), tmp_path / "run", train=PLAN)
    consistent(run, metric="mean_iou")
    stored = Store(run.folder / "transfer").gather(np.arange(1))["main"]
    assert torch.allclose(torch.softmax(stored, -1).sum(-1), torch.ones(256)) and float(stored.min()) < -1


@pytest.mark.parametrize(
    ("teacher", "error", "said"),
    [
        (Own(coarse=True), ShapeMismatch, "scores of 2 classes for each of 256 pixels, got .64, 2."),
        ("sklearn:LogisticRegression()", ConfigError, "scores for every pixel of an image, got an estimator"),
        (lambda images: images.reshape(len(images), -1)[:, :2] * 1.0, LimbeckError, "for each of 256 pixels, got .2."),
    ],
)
def test_teachers_that_do_not_answer_pixels_are_refused(teacher, error, said, tmp_path):
    with pytest.raises(error, match=said):
        distil(teacher, "unet(width=3, depth=1)", made(), tmp_path / "run", train=PLAN)


def test_hard_labels_of_the_teacher_are_masks_too(tmp_path):
    few = lb.TrainSpec(steps=10, batch_size=8)
    run = run_of(tmp_path / "run", attribution=True, until="evaluate", seeds=1, train=few)
    assert {"soft", "pseudo"} <= set(run.scorecard["tasks"]["main"]["arms"])


def said_by(*arguments):
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return found.exit_code, found.output


def test_from_a_folder_to_masks_by_the_command_line(tmp_path):
    images, masks = circles(30, side=20)
    folder_of(tmp_path / "train", images, masks[:26], scale=255)
    folder_of(tmp_path / "test", *circles(16, 1), scale=255)  # of another size
    code, told = said_by(
        "init", "cells", "--data", tmp_path / "train", "--test", tmp_path / "test", "--out", tmp_path
    )  # fmt: skip
    recipe = tmp_path / "cells" / "recipe.yaml"
    assert code == 0 and "task: segmentation" in recipe.read_text() and "pictures in masks/" in recipe.read_text(), told
    short = ["-s", "data.image_size=[16,16]", "-s", "student=unet(width=2, depth=1)", "-s", "seeds=3"]
    short += [
        "-s",
        "teacher=unet(width=4, depth=2)",
        "-s",
        "train.steps=30",
        "-s",
        "train.batch_size=8",
        "-s",
        "train.learning_rate=0.02",
    ]
    code, told = said_by("check", recipe, *short)
    assert code == 0 and "transfer set" in told, told
    code, told = said_by("distill", recipe, "--out", tmp_path / "run", *short)
    assert code == 0 and "answers of main will take 25.6 kB: 25 images x 1 view x 256 pixels x 2 classes" in told, told
    code, told = said_by("predict", tmp_path / "run", tmp_path / "train", "--out", tmp_path / "said")
    assert code == 0 and "30 masks" in told, told
    with Image.open(tmp_path / "said" / "004.png") as mask:
        found = np.asarray(mask)
        assert mask.mode == "P" and found.shape == (20, 20) and set(np.unique(found)) <= {0, 255}
    assert (found == 255 * masks[4]).mean() > 0.6
    code, told = said_by("predict", tmp_path / "run", tmp_path / "train")
    assert code == 2 and "expected a folder for the masks of train, got none" in told
    (tmp_path / "empty").mkdir()
    code, told = said_by("predict", tmp_path / "run", tmp_path / "empty", "--out", tmp_path / "none")
    assert code == 2 and "there are none" in told


def test_masks_that_number_their_objects_are_guessed(tmp_path):
    images, masks = circles(14)
    numbered = np.zeros(masks.shape, dtype=np.uint16)
    for row, mask in enumerate(numbered):
        mask.flat[: 10 + row] = np.arange(1, 11 + row)
    folder_of(tmp_path / "train", images, numbered)
    code, told = said_by("init", "cells", "--data", tmp_path / "train", "--out", tmp_path)
    text = (tmp_path / "cells" / "recipe.yaml").read_text()
    assert code == 0 and "segmentation(instances=True)" in text and "number their objects" in text, told
