"""Classes of a teacher that are others than the task's: chances are added, left out, or unknown."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from limbeck.core.errors import ConfigError
from limbeck.data.tasks import Classification
from limbeck.models.adapters import adapt
from limbeck.models.merged import merged_columns

OWN = ("cat", "dog", "car", "sky")
NAMES = ("vehicle", "animal", "plant")
MAPPING = {"cat": "animal", "dog": "animal", "car": "vehicle", "sky": None}
LOGITS = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


def test_chances_are_added_and_what_is_left_out_shares_its_own():
    columns = merged_columns(OWN, MAPPING, NAMES, "the teacher")
    assert columns.groups == ((2,), (0, 1), ()) and columns.known == (0, 1) and columns.missing == ("plant",)
    chances = LOGITS.softmax(-1)
    found = columns.order(LOGITS)[:, list(columns.known)].softmax(-1)
    wanted = torch.stack([chances[:, 2], chances[:, 0] + chances[:, 1]], dim=1) / (1 - chances[:, 3:])
    torch.testing.assert_close(found, wanted)
    assert (columns.order(LOGITS).softmax(-1)[:, 2] < 1e-6).all()


def test_names_that_are_alike_need_no_mapping():
    columns = merged_columns([2, 1, 0], {2: "1"}, ("0", "1"), "the teacher")
    assert columns.groups == ((2,), (0, 1)) and columns.missing == ()


def test_an_estimator_says_its_own_classes_and_a_function_is_told():
    task = {"main": Classification(("low", "high"))}
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    model = LogisticRegression().fit(x, np.digitize(x[:, 0], [-0.5, 0.5]))
    mapping = {0: "low", 1: "low", 2: "high"}
    found = adapt(model, task, mapping=mapping)(x)["main"]
    chances = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(chances[:, 1], model.predict_proba(x)[:, 2], atol=1e-5)
    asked = adapt(model.predict_proba, task, classes=[0, 1, 2], mapping=mapping, output="probabilities")
    np.testing.assert_allclose(asked(x)["main"], found, atol=1e-4)


@pytest.mark.parametrize(
    ("own", "mapping", "words"),
    [
        (None, MAPPING, "the classes of the teacher in the order of its outputs beside a mapping of them, got none"),
        (OWN, MAPPING | {"bat": "animal"}, r"mapping.bat: the teacher has no such class; did you mean 'cat'"),
        (OWN, MAPPING | {"sky": "planet"}, r"mapping.sky: the task has no class 'planet'; did you mean 'plant'"),
        (OWN, {"cat": "animal"}, r"3 problems\n\n  mapping.dog: the task has no class 'dog'; map it to one of vehicle"),
        (("cat", "cat"), {"cat": "animal"}, "classes: the teacher names some classes twice"),
        (OWN, dict.fromkeys(OWN, "animal"), "mapping: fewer than two classes of the task are known to the teacher"),
    ],
)
def test_mappings_that_do_not_fit_are_refused(own, mapping, words):
    with pytest.raises(ConfigError, match=words):
        merged_columns(own, mapping, NAMES, "the teacher")
