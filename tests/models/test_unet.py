"""The small network for masks."""

import pytest
import torch

from limbeck.core.errors import ShapeMismatch
from limbeck.models import zoo
from limbeck.models.outputs import to_outputs
from limbeck.models.saved import load, save
from limbeck.models.student import Student


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 13, 18), (7, 5)])
def test_any_size_comes_back_as_it_was(shape):
    network = zoo.build("unet(width=2, depth=2)", shape, {"main": 4}).eval()
    height, width = shape[-2:]
    with torch.no_grad():
        assert network(torch.randn(3, *shape)).shape == (3, 4, height, width)


def test_several_heads_and_the_way_to_disk_and_back(tmp_path):
    network = zoo.build("unet(width=2, depth=1, dropout=0.2)", (1, 8, 8), {"cells": 2, "depth": 3}).eval()
    save(network, tmp_path)
    inputs = torch.randn(2, 1, 8, 8)
    for name, logits in load(tmp_path)(inputs).items():
        assert torch.equal(logits, network(inputs)[name])


def test_maps_are_positions_in_row_order():
    maps = torch.arange(2 * 3 * 2 * 2.0).reshape(2, 3, 2, 2)
    found = to_outputs(maps, ["main"])["main"]
    assert found.shape == (2, 4, 3) and torch.equal(found[1, 3], maps[1, :, 1, 1])


def test_a_teacher_is_ten_times_its_student():
    sizes = [
        sum(p.numel() for p in zoo.build(name, (1, 32, 32), {"main": 2}).parameters())
        for name in ("unet", "unet(width=4, depth=3)")
    ]
    assert sizes[0] > 10 * sizes[1]


def test_a_student_that_answers_whole_images_is_refused():
    def whole(in_shape):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))

    student = Student.of(whole, (1, 8, 8), {"main": 2}, kinds={"main": "segmentation"})
    with pytest.raises(ShapeMismatch, match=r"scores for each of 8x8 pixels for 'main', it gives \[2\] numbers"):
        student.build(0)


def test_a_student_of_another_size_is_refused():
    def coarse(in_shape):
        return torch.nn.Conv2d(1, 2, 3, stride=2, padding=1)

    student = Student.of(coarse, (1, 8, 8), {"main": 2}, kinds={"main": "segmentation"})
    with pytest.raises(ShapeMismatch, match="each of 8x8 pixels for 'main', it gives scores for 16 places"):
        student.build(0)


def test_unet_takes_images():
    with pytest.raises(ShapeMismatch, match="for unet, got inputs of shape"):
        zoo.build("unet", (5,), {"main": 2})
