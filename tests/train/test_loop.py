import math

import numpy as np
import pytest
import torch
from torch import nn

from limbeck.core.errors import ConfigError, LimbeckError, MissingSignal
from limbeck.models.fingerprint import state_hash
from limbeck.signals import MAIN
from limbeck.train.loop import fit
from limbeck.train.plan import TrainSpec
from limbeck.train.steps import Learner


def equal(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def close(left, right, tolerance=1e-6):
    return all(torch.allclose(left[name], right[name], atol=tolerance, rtol=1e-5) for name in left)


def test_a_control_learns(kit):
    table = kit.make_table()
    _, fitted = kit.train(kit.plan(steps=150, learning_rate=0.02), table=table, validate=kit.accuracy(table))
    assert fitted.best_score > 0.9
    assert fitted.steps == fitted.planned == 150
    assert fitted.history[-1]["loss"] < fitted.history[0]["loss"] / 2


def test_the_same_seed_gives_the_same_weights_and_another_does_not(kit):
    spec = kit.plan(steps=10)
    runs = [kit.train(spec, student=kit.make_student(dropout=0.3), seed=seed)[1].best_state for seed in (1, 1, 2)]
    assert equal(runs[0], runs[1])
    assert not equal(runs[0], runs[2])


def test_the_callers_random_streams_go_on_untouched(kit):
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(3)
    np.random.seed(3)
    student = kit.build("mlp(hidden=[4], dropout=0.5)", (kit.WIDTH,), {MAIN: kit.CLASSES})
    torch.manual_seed(3)
    kit.train(kit.plan(steps=3), student=student)
    assert torch.equal(torch.rand(1), expected[0])
    assert np.random.rand() == expected[1]


def test_the_loop_is_the_hand_written_one(kit):
    table, spec = kit.make_table(), kit.plan(steps=7, optimizer="sgd", learning_rate=0.1, weight_decay=0.0)
    feed = kit.make_feed(table)
    _, fitted = kit.train(spec, table=table)
    model = kit.make_student()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step in range(7):
        rows = torch.from_numpy(feed.rows_of(step)[0])
        loss = nn.functional.cross_entropy(model(table.inputs[rows]), table.targets[MAIN][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    mine = {f"student.{name}": value for name, value in model.state_dict().items()}
    assert close(fitted.best_state, mine)


@pytest.mark.parametrize("pieces", [2, 3, 5, 16])
def test_accumulation_changes_nothing(kit, pieces):
    mask = torch.rand(kit.ROWS, generator=torch.Generator().manual_seed(1)) < 0.3
    table = kit.make_table(mask=mask, weight=torch.rand(kit.ROWS, generator=torch.Generator().manual_seed(2)))
    objective = 0.3 * kit.Hard() + 0.7 * kit.Soft()
    settings = {"objective": objective, "source": kit.Answers(kit.make_logits()), "table": table}
    whole = kit.train(kit.plan(), **settings)[1]
    cut = kit.train(kit.plan(accumulate=pieces), **settings)[1]
    assert close(whole.best_state, cut.best_state)
    assert [e["loss"] for e in whole.history] == pytest.approx([e["loss"] for e in cut.history], rel=1e-4)


def test_cross_entropy_averages_over_labelled_rows_only(kit):
    """Rows without a label, whatever stands there, change nothing about the hard loss of those that have one."""
    mask = torch.arange(kit.ROWS) < 48
    table = kit.make_table(mask=mask)
    wrong = kit.Table(table.keys, table.inputs, {MAIN: torch.where(mask, table.targets[MAIN], 0)}, table.label_mask)
    one = kit.train(kit.plan(), table=table)[1].best_state
    other = kit.train(kit.plan(), table=wrong)[1].best_state
    assert equal(one, other)


def test_both_arms_see_the_same_labelled_rows(kit):
    table = kit.make_table()
    control = kit.make_feed(table, labelled=40)
    for step in range(30):
        rows = control.rows_of(step)[0]
        labelled, extra = rows[:16], rows[16:]
        assert labelled.max() < 40 <= extra.min()
        alone = kit.make_feed(kit.Table(table.keys[:40], table.inputs[:40], {MAIN: table.targets[MAIN][:40]}))
        assert (alone.rows_of(step)[0] == labelled).all()


def test_two_heads_with_labels_missing_for_one(kit):
    mask = torch.zeros(kit.ROWS, dtype=torch.bool)
    table = kit.make_table(heads=("a", "b"), mask=mask)
    student = kit.make_student(outputs=("a", "b"))
    before = student.head["a"].weight.clone()
    _, fitted = kit.train(kit.plan(), table=table, student=student, objective=kit.Hard(on="a") + kit.Hard(on="b"))
    assert not torch.equal(
        fitted.best_state["student.head.b.weight"], kit.make_student(outputs=("a", "b")).head["b"].weight
    )
    decayed = before * (1 - 2e-3 * 0.01) ** 12
    assert torch.allclose(fitted.best_state["student.head.a.weight"], decayed, atol=1e-6)  # nothing but weight decay
    assert fitted.history[-1]["hard"] == 0.0


def test_weights_of_rows_weigh_them(kit):
    weight = (torch.arange(kit.ROWS) % 2).float()
    weighted = kit.make_table(weight=weight)
    order = np.arange(kit.ROWS)[1::2]
    odd = kit.Table(weighted.keys[order], weighted.inputs[order], {MAIN: weighted.targets[MAIN][order]})
    settings = {"optimizer": "sgd", "weight_decay": 0.0, "steps": 5, "learning_rate": 0.1}
    one = kit.train(kit.plan(batch_size=kit.ROWS, **settings), table=weighted)[1]
    other = kit.train(kit.plan(batch_size=kit.ROWS // 2, **settings), table=odd)[1]
    assert close(one.best_state, other.best_state)


def test_the_student_is_in_train_mode_after_validation(kit):
    table, modes = kit.make_table(), []

    def validate(module):
        assert not module.training
        return 0.0

    student = kit.make_student(norm=True)
    student.body.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    kit.train(kit.plan(steps=6, validate_every=2), table=table, student=student, validate=validate)
    assert modes == [True] * 6


def test_the_best_state_is_kept_and_patience_gives_no_more_steps(kit):
    scores = iter([0.1, 0.9, 0.3, 0.2, 0.1, 0.05])
    seen = []

    def validate(module):
        seen.append({name: value.clone() for name, value in module.state_dict().items()})
        return next(scores)

    learner, fitted = kit.train(kit.plan(steps=12, validate_every=2, patience=3), validate=validate)
    assert (fitted.best_step, fitted.best_score) == (4, 0.9)
    assert fitted.steps == 10 < fitted.planned
    assert fitted.stopped_early
    assert equal(learner.student.state_dict(), seen[1])


def test_a_score_that_is_not_a_number_is_never_the_best(kit):
    scores = iter([float("nan"), 0.5, float("nan")])
    _, fitted = kit.train(kit.plan(steps=6, validate_every=2), validate=lambda _: next(scores))
    assert (fitted.best_step, fitted.best_score) == (4, 0.5)


def test_bf16_trains_near_fp32_and_losses_are_float32(kit):
    table, spec = kit.make_table(), {"steps": 60, "learning_rate": 0.02}
    scores = []
    for precision in ("fp32", "bf16"):
        settings = {"table": table, "validate": kit.accuracy(table)}
        learner, fitted = kit.train(kit.plan(precision=precision, **spec), **settings)
        scores.append(fitted.best_score)
        assert learner.signals(kit.make_feed(table).batch(0)).outputs[MAIN].dtype == torch.float32
        assert all(value.dtype == torch.float32 for value in fitted.best_state.values())
    assert abs(scores[0] - scores[1]) < 0.1


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "radam"])
@pytest.mark.parametrize("schedule", ["cosine", "linear", "step", "onecycle", "constant"])
def test_every_optimizer_and_schedule_learns(kit, optimizer, schedule):
    rate = {"sgd": 0.2, "radam": 0.1}.get(optimizer, 0.03)  # radam rectifies its first steps down
    settings = {"optimizer": optimizer, "schedule": schedule, "warmup": 0.1, "learning_rate": rate, "clip": 1.0}
    _, fitted = kit.train(kit.plan(steps=80, **settings))
    assert fitted.history[-1]["loss"] < 0.7 * fitted.history[0]["loss"]


def test_events_come_at_twenty_points_and_not_at_every_step(kit):
    events, progress = [], []
    kit.train(
        kit.plan(steps=100),
        events=lambda name, value, step: events.append((name, value, step)),
        progress=progress.append,
    )
    assert [step for name, _, step in events if name == "loss"] == list(range(5, 101, 5))
    assert {name for name, _, _ in events} == {"loss", "hard", "learning_rate"}
    assert progress[-1].step == 100
    assert progress[-1].seconds_left == 0


# ------------------------------------------------------------------------------------------- the teacher


def live(kit, module, table):
    from types import SimpleNamespace

    from limbeck.transfer.source import Live

    head = SimpleNamespace(
        kind="classification", form="classification", natural=False, size=kit.CLASSES, names=("a", "b", "c")
    )
    return Live(module, {MAIN: head}, output="logits")


def with_teacher_inputs(kit, table):
    return kit.Table(table.keys, table.inputs, table.targets, teacher_inputs=table.inputs)


def test_a_live_teacher_is_untouched(kit):
    table = with_teacher_inputs(kit, kit.make_table())
    teacher = kit.make_student(seed=9, dropout=0.5, norm=True).train()
    before = state_hash(teacher)
    kit.train(kit.plan(), table=table, objective=kit.Soft(), source=live(kit, teacher, table))
    assert state_hash(teacher) == before
    assert all(p.grad is None for p in teacher.parameters())


def test_a_teacher_that_changes_is_said(kit):
    table = with_teacher_inputs(kit, kit.make_table())
    teacher = kit.make_student(seed=9)

    def drift(module, _inputs, _output):
        module.head.bias.data.add_(1e-3)

    teacher.register_forward_hook(drift)
    with pytest.raises(LimbeckError, match="teacher to be the same after the training"):
        kit.train(kit.plan(steps=2), table=table, objective=kit.Soft(), source=live(kit, teacher, table))


def test_shared_weights_are_refused(kit):
    table = with_teacher_inputs(kit, kit.make_table())
    student = kit.make_student()
    with pytest.raises(ConfigError, match=r"weights of their own, they share body\.1\.weight"):
        kit.train(kit.plan(), table=table, student=student, objective=kit.Soft(), source=live(kit, student, table))


def test_no_teacher_for_a_loss_that_listens_to_one(kit):
    with pytest.raises(MissingSignal, match=r"expected output 'main'.*from the teacher for soft; there is no teacher"):
        kit.train(kit.plan(), objective=0.5 * kit.Hard() + 0.5 * kit.Soft())


def test_an_output_that_the_student_has_not(kit):
    with pytest.raises(MissingSignal, match="expected the student to give the outputs side, it has main"):
        Learner(kit.make_student(), kit.Hard(on="side"), [MAIN])


# ------------------------------------------------------------------------------------------ not finite


def test_a_step_with_a_broken_answer_is_skipped_and_named(kit):
    logits = kit.make_logits()
    logits[7] = float("nan")
    said = []
    _, fitted = kit.train(
        kit.plan(steps=6, batch_size=32), objective=kit.Hard() + kit.Soft(), source=kit.Answers(logits), say=said.append
    )
    assert fitted.skipped == 2  # 96 rows, 32 a step, two passes
    assert "in soft: the teacher's answer 'main' is not finite for training rows 7" in said[0]
    assert all(bool(torch.isfinite(value).all()) for value in fitted.best_state.values())


def test_too_many_skipped_steps_end_the_training_with_what_to_do(kit):
    logits = torch.full((kit.ROWS, kit.CLASSES), float("inf"))
    with pytest.raises(
        LimbeckError, match=r"expected a finite loss, but the loss is not finite at step 5 in soft"
    ) as caught:
        kit.train(kit.plan(), objective=kit.Soft(), source=kit.Answers(logits))
    assert "6 steps skipped" in caught.value.what
    assert "repair their targets or the teacher's answers" in caught.value.todo


def test_a_rate_that_is_too_high_says_so(kit):
    with pytest.raises(LimbeckError, match="not finite") as caught:
        kit.train(kit.plan(steps=200, optimizer="sgd", learning_rate=1e30))
    assert "lower train.learning_rate, or set train.clip" in caught.value.todo


def test_inputs_that_are_not_finite_are_refused_with_their_rows(kit):
    table = kit.make_table()
    inputs = table.inputs.clone()
    inputs[[3, 50]] = float("nan")
    with pytest.raises(ConfigError, match=r"NaN or infinity in 2 rows \(3, 50\)"):
        kit.Table(table.keys, inputs, table.targets)


def test_large_finite_inputs_are_not_refused(kit):
    table = kit.make_table()
    kit.Table(table.keys, torch.full_like(table.inputs, 3e38), table.targets)


# ------------------------------------------------------------------------------------------------ plan


def test_all_problems_of_a_plan_at_once():
    with pytest.raises(ConfigError) as caught:
        TrainSpec(steps=0, epochs=2, batch_size=4, accumulate=8, warmup=1.5, learning_rate=math.inf, clip=0.0)
    text = str(caught.value)
    for part in (
        "the training plan has 6 problems",
        "steps: expected a number >= 1, got 0",
        "epochs: expected steps or epochs, got both",
        "accumulate: expected at most batch_size (4) micro-batches, got 8",
        "warmup: expected a number below 1, got 1.5",
        "learning_rate: expected a finite number, got inf",
        "clip: expected a number > 0, got 0.0",
    ):
        assert part in text


def test_automatic_steps_say_why():
    assert TrainSpec(steps=70).total_steps(1000).value == 70
    assert TrainSpec(epochs=3, batch_size=100).total_steps(1000).value == 30
    assert TrainSpec(batch_size=100).total_steps(100_000).value == 20_000
    few = TrainSpec(batch_size=100).total_steps(200)
    assert (few.value, few.reason) == (2_000, "40 passes would be 80 steps; at least 2000")
    assert "at least 2,000 and at most 20,000" in (TrainSpec.__doc__ or "")


def test_a_batchwise_loss_is_refused_under_accumulation(kit):
    class Relation(kit.Hard):
        batchwise = True

    with pytest.raises(ConfigError, match="expected accumulate: 1 with relation, which compares the rows of a batch"):
        kit.train(kit.plan(accumulate=2), objective=Relation())


def test_a_ramp_moves_the_weight(kit):
    from limbeck.objectives.base import Ramp

    weights = []

    class Watched(kit.Soft):
        def loss(self, student, teacher, batch, head):
            total, count = super().loss(student, teacher, batch, head)
            total.register_hook(lambda grad: weights.append(float(grad) * float(count)))
            return total, count

    source = kit.Answers(kit.make_logits())
    kit.train(kit.plan(steps=4), objective=Ramp(0.0, 1.0) * Watched() + 1.0 * kit.Hard(), source=source)
    assert weights == pytest.approx([0.0, 0.25, 0.5, 0.75])


def test_views_cycle_with_the_epochs(kit):
    seen = []

    def gather(index, views):
        seen.append((index.copy(), views.copy()))
        return table.inputs[torch.from_numpy(index)] + torch.from_numpy(views)[:, None]

    table = kit.make_table()
    augmented = kit.Table(table.keys, gather, table.targets)
    feed = kit.make_feed(augmented, batch_size=64, views=2)
    learner = Learner(kit.make_student(), kit.Hard(), [MAIN])
    fit(learner, None, feed, kit.plan(steps=3, batch_size=64))
    views = np.concatenate([view for _, view in seen])
    assert views.tolist() == [0] * 96 + [1] * 96
    assert sorted(np.concatenate([index for index, _ in seen])[:96]) == list(range(96))
