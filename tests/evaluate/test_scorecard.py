"""The scorecard: what stands in it, what it says aloud, and that it never credits a teacher who knows nothing."""

import json

import numpy as np
import pytest

from limbeck.core.errors import ConfigError, ShapeMismatch, StoreMismatch
from limbeck.core.findings import Finding
from limbeck.evaluate.answers import Plain
from limbeck.evaluate.evidence import Evidence, Validation
from limbeck.evaluate.scorecard import Scorecard, build
from limbeck.evaluate.taskcard import task_card
from limbeck.report.terminal import summary

from .conftest import make_world


def evidence(world, **changes):
    arms = {a: world[a] for a in ("teacher", "student", "control")}
    return Evidence(Plain("classification", world["names"]), world["y"], arms | changes.pop("arms", {}), **changes)


def codes(card):
    return {f["code"] for f in card["findings"]}


def test_a_taught_student_helped_and_the_card_survives_json(world, tmp_path):
    card = build({"main": evidence(world)}, name="five", seeds=range(5), overlaps=3)
    assert card["schema"] == 1
    assert card["verdict"] == "helped"
    assert card["tasks"]["main"]["knowledge"]["credited"]
    assert card["sentence"].startswith("The student keeps ")
    assert "Distillation helped: +" in card["sentence"]
    assert card["tasks"]["main"]["counts"]["dropped_overlaps"] == 3
    Scorecard(card).to_json(tmp_path / "scorecard.json")
    back = Scorecard.read(tmp_path / "scorecard.json")
    assert back.data == card == json.loads(json.dumps(card))
    assert back.verdict == "helped"
    assert back.gain.low > 0 and float(back.gain) == pytest.approx(card["tasks"]["main"]["gain"]["value"])
    assert 0 < back.retention.value < 1.1 and back.difference.value < 0.1
    assert 0.5 < back.agreement.value <= 1


def test_numbers_are_those_of_the_answers(world):
    task = build({"main": evidence(world)})["tasks"]["main"]
    hits = {a: (world[a].argmax(-1) == world["y"]).mean() for a in ("teacher", "student", "control")}
    for arm, value in hits.items():
        assert task["arms"][arm]["metrics"]["accuracy"]["value"] == pytest.approx(value)
    assert task["gain"]["value"] == pytest.approx(hits["student"] - hits["control"])
    assert task["retention"]["ratio"]["value"] == pytest.approx(hits["student"] / hits["teacher"], abs=1e-3)
    assert set(task["arms"]["student"]["metrics"]) == {"accuracy", "balanced_accuracy", "macro_f1"}
    for entry in task["arms"]["student"]["metrics"].values():
        assert entry["low"] < entry["value"] < entry["high"]
    assert len(task["gain_per_seed"]) == 5
    assert sum(task["fidelity"]["arms"]["student"]["rows"].values()) == pytest.approx(400)


def test_two_seeds_give_numbers_and_no_verdict(world):
    arms = {"student": world["student"][:2], "control": world["control"][:2]}
    card = build({"main": evidence(world, arms=arms)})
    assert card["verdict"] is None
    assert card["tasks"]["main"]["reason"] == "2 seeds: a verdict needs 3"
    assert "No verdict (2 seeds" in card["sentence"]
    assert card["tasks"]["main"]["gain"]["value"] > 0


def test_equal_arms_are_no_reliable_difference(world):
    card = build({"main": evidence(world, arms={"student": world["control"][::-1]})})
    assert card["verdict"] == "no reliable difference"
    assert "No reliable difference" in card["sentence"]


def test_a_worse_student_hurt(world):
    card = build({"main": evidence(world, arms={"student": world["control"], "control": world["student"]})})
    assert card["verdict"] == "hurt"
    assert "ship the plain student" in card["sentence"]


def test_a_shuffled_teacher_is_never_credited(world):
    shuffled = world["teacher"][np.random.default_rng(1).permutation(400)]
    card = build({"main": evidence(world, arms={"teacher": shuffled})})
    assert card["verdict"] == "helped"
    assert not card["tasks"]["main"]["knowledge"]["credited"]
    assert "this is not the teacher's knowledge: the teacher is no better than a constant answer" in card["sentence"]
    assert {"LB201", "LB308"} <= codes(card)


def test_a_good_teacher_whose_stored_answers_were_shuffled_is_not_credited(world):
    order = np.random.default_rng(1).permutation(400)
    card = build({"main": evidence(world, stored=(world["teacher"][order], world["y"]))})
    assert {"LB203", "LB308"} <= codes(card)
    assert "the stored answers do not fit the labels of their rows" in card["sentence"]
    good = build({"main": evidence(world, stored=(world["teacher"], world["y"]))})
    assert not {"LB203", "LB308"} & codes(good)


def test_a_gain_without_a_way_from_the_teacher_is_not_credited():
    world = make_world(taught=False)
    equal = 1.6 * np.eye(5)[world["y"]] + np.random.default_rng(9).normal(size=(400, 5))
    card = build({"main": evidence(world, arms={"teacher": equal})})
    assert card["verdict"] == "helped"
    assert not card["tasks"]["main"]["knowledge"]["credited"]
    assert "the student does not follow it in detail" in card["sentence"]
    assert card["tasks"]["main"]["knowledge"]["uptake"]["low"] < 0


def test_uptake_is_seen_where_a_student_was_taught(world):
    assert build({"main": evidence(world)})["tasks"]["main"]["knowledge"]["uptake"]["low"] > 0.1
    untaught = build({"main": evidence(make_world(taught=False))})["tasks"]["main"]["knowledge"]["uptake"]
    assert abs(untaught["value"]) < 0.05 and untaught["low"] < 0


def test_swapped_classes_of_the_teacher_are_found_with_their_mapping(world):
    card = build({"main": evidence(world, arms={"teacher": world["teacher"][:, [1, 0, 2, 3, 4]]})})
    found = next(f for f in card["findings"] if f["code"] == "LB202")
    assert found["grade"] == "issue" and found["data"]["mapping"] == {"a": "b", "b": "a"}
    assert "a → b, b → a" in found["measured"]


def test_a_teacher_at_the_control_s_level_is_said(world):
    card = build({"main": evidence(world, arms={"teacher": world["control"][0]})})
    assert "LB201" in codes(card)


def test_a_teacher_that_knew_no_more_is_in_the_headline_unless_that_is_silenced(world):
    arms = {"teacher": world["control"][0], "student": world["control"], "control": world["student"]}
    card = build({"main": evidence(world, arms=arms)})
    found = next(f for f in card["findings"] if f["code"] == "LB201")
    assert found["title"] == "the teacher is worse than the control"
    assert card["sentence"].endswith(f"; {found['title']}: train a better one, or ship the plain student.")
    assert f"{found['title']}: train a better one, or ship the plain student" in summary(card)
    assert "✔" not in summary(card), "there is nothing to boast of in keeping what such a teacher has"
    silenced = build({"main": evidence(world, arms=arms)}, ignore=("LB201",))
    assert silenced["sentence"].endswith("; ship the plain student.")
    same = build({"main": evidence(world, arms={"teacher": world["control"][0], "student": world["control"][::-1]})})
    assert same["verdict"] == "no reliable difference" and "; the teacher is " in same["sentence"]


def test_the_distance_of_answers_is_never_below_zero(world):
    near = np.repeat(world["teacher"][None], 5, 0) + np.random.default_rng(0).normal(0, 1e-3, (5, 400, 5))
    kl = build({"main": evidence(world, arms={"student": near})})["tasks"]["main"]["fidelity"]["arms"]["student"]["kl"]
    assert 0 <= kl["low"] <= kl["value"] < 1e-5
    far = np.repeat(world["teacher"][None], 5, 0)
    far[:, :1] = -far[:, :1]  # one row of four hundred: an interval by the t curve reaches below zero
    kl = build({"main": evidence(world, arms={"student": far})})["tasks"]["main"]["fidelity"]["arms"]["student"]["kl"]
    assert kl["low"] == 0 < kl["value"] < kl["high"]


def test_more_data_is_not_taken_for_soft_labels(world):
    rng = np.random.default_rng(5)
    pseudo = world["student"] + 0.05 * rng.normal(size=world["student"].shape)
    soft = world["control"] + 0.05 * rng.normal(size=world["control"].shape)
    card = build({"main": evidence(world, arms={"pseudo": pseudo, "soft": soft})})
    assert "LB301" in codes(card)
    table = card["tasks"]["main"]["attribution"]["table"]
    assert [line["arm"] for line in table] == ["control", "soft", "pseudo", "student"]
    better = build({"main": evidence(world, arms={"pseudo": world["control"][::-1], "soft": soft})})
    assert "LB301" not in codes(better)


def test_small_tests_and_lost_classes_are_said(world):
    worse = world["student"].copy()
    worse[..., 0] -= 5
    card = build({"main": evidence(world, arms={"student": worse})})
    assert {"LB106", "LB307"} <= codes(card)
    assert card["tasks"]["main"]["classes"][0]["name"] == "a"


def test_masks_weights_and_two_heads(world):
    rng = np.random.default_rng(0)
    y = rng.normal(size=(400, 1))
    arms = {
        "teacher": y + 0.1 * rng.normal(size=y.shape),
        "student": y + 0.3 * rng.normal(size=(5, *y.shape)),
        "control": y + 0.5 * rng.normal(size=(5, *y.shape)),
    }
    mask, weights = np.arange(400) % 2 == 0, rng.uniform(0.5, 2, 400)
    real = Evidence(Plain("regression", ("size",)), y, arms, mask=mask, metric="rmse", weights=weights)
    card = build({"kind": evidence(world), "size": real})
    size = card["tasks"]["size"]
    assert size["counts"]["test_rows"] == 400 and size["counts"]["labelled_rows"] == 200
    expected = np.sqrt(np.average((arms["teacher"] - y)[mask, 0] ** 2, weights=weights[mask]))
    assert size["arms"]["teacher"]["metrics"]["rmse"]["value"] == pytest.approx(expected)
    assert size["verdict"] == "helped" and size["gain"]["value"] < 0
    assert "(lower is better)" in size["sentence"]
    assert card["verdict"] == "helped" and "size: " in card["sentence"]
    assert Scorecard(card).task("size").gain.value < 0


def test_tasks_that_contradict_each_other_have_no_common_verdict(world):
    swapped = evidence(world, arms={"student": world["control"], "control": world["student"]})
    card = build({"up": evidence(world), "down": swapped})
    assert card["verdict"] == "no reliable difference"
    assert card["sentence"].startswith("Some tasks gained and some lost.")


def test_labels_of_several_kinds_a_row():
    rng = np.random.default_rng(3)
    y = (rng.random((300, 3)) < 0.4).astype(float)
    arms = {
        "teacher": (2 * y - 1) * 2 + rng.normal(size=y.shape),
        "control": (2 * y - 1) * 0.7 + rng.normal(size=(3, *y.shape)),
    }
    arms["student"] = arms["teacher"] * 0.8 + rng.normal(size=(3, *y.shape)) * 0.7
    card = build({"main": Evidence(Plain("multilabel", ("x", "y", "z")), y, arms)})
    task = card["tasks"]["main"]
    assert task["metric"]["name"] == "macro_f1" and set(task["trivial"]["metrics"]) >= {"map", "subset_accuracy"}
    assert task["verdict"] == "helped" and task["knowledge"]["credited"]


def test_validation_answers_give_numbers_after_scaling(world):
    half = {a: np.atleast_3d(world[a]) if world[a].ndim == 3 else world[a][None] for a in ("teacher", "student")}
    card = build({"main": evidence(world, validation=Validation(world["y"], half))})
    found = card["tasks"]["main"]["calibration"]
    assert found["student"]["after"]["nll"] <= found["student"]["before"]["nll"] + 1e-9
    assert len(found["student"]["temperature"]) == 5 and found["control"]["after"] is None


def test_costs_and_earlier_findings_are_kept(world):
    early = Finding("LB101", "tip", "overlap", "3 rows", "leaks", "drop them", {})
    costs = {"teacher": {"parameters": 1000}, "student": {"parameters": 2000}}
    card = build({"main": evidence(world)}, findings=[early], costs=costs)
    assert card["findings"][0]["code"] == "LB101" and "LB302" in codes(card)
    assert "It is not smaller (×2 parameters)." in card["sentence"]
    assert Scorecard(card).checks[0] == early


def test_refusals():
    world = make_world(rows=30)
    with pytest.raises(ConfigError, match="expected the answers of student and control, control missing"):
        build({"main": Evidence(Plain("classification", world["names"]), world["y"], {"student": world["student"]})})
    with pytest.raises(ShapeMismatch, match="expected the answers of the teacher to have shape"):
        build({"main": evidence(world, arms={"teacher": world["teacher"][:, :3]})})
    broken = world["student"].copy()
    broken[2, 3, 1] = np.nan
    with pytest.raises(ConfigError, match="expected finite answers of the student, got NaN or infinity"):
        build({"main": evidence(world, arms={"student": broken})})
    with pytest.raises(ConfigError, match="expected labelled test rows, got none"):
        build({"main": evidence(world, mask=np.zeros(30, dtype=bool))})
    with pytest.raises(StoreMismatch, match="expected a scorecard of schema 1, got 7"):
        Scorecard({"schema": 7})


def test_several_tasks_need_more_to_say_together_what_one_says_alone():
    rng = np.random.default_rng(0)
    task, y = Plain("classification", ("a", "b")), rng.integers(0, 2, 1000)

    def arm(right):
        hits = rng.random((5, 1000)) < right
        return np.where(hits, y, 1 - y)

    def card(student, tasks):
        return task_card("main", Evidence(task, y, {"student": student, "control": control}), margin=0.01, tasks=tasks)

    control = arm(0.80)
    students = [arm(0.80 + 0.002 * k) for k in range(20)]
    alone = [card(student, 1).card["verdict_together"] for student in students]
    together = [card(student, 5).card["verdict_together"] for student in students]
    assert alone.count("helped") > together.count("helped") > 0
    assert all(one == "helped" for one, many in zip(alone, together, strict=True) if many == "helped")
