"""The arms of a run: the student, its control, and the two arms that tell where a gain came from.

An arm is an objective, the rows it sees and the labels it may use. Everything else (initial weights, number of
steps, batch size, optimiser, moments of validation) is the same for all arms of a seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from limbeck.core.errors import ConfigError, Problem
from limbeck.core.kinds import suggest
from limbeck.data.tasks import Task
from limbeck.objectives.base import Objective, Ramp, Sum, Term

STUDENT, CONTROL, SOFT, PSEUDO = "student", "control", "soft", "pseudo"


@dataclass(frozen=True)
class Arm:
    """One way of training the student.

    `unlabeled` says whether it sees the unlabelled rows, `pseudo` whether these carry the teacher's decisions
    as if they were labels.
    """

    name: str
    objective: Sum
    unlabeled: bool
    pseudo: bool = False

    @property
    def teaches(self) -> bool:
        """Whether a term of the objective listens to the teacher."""
        return any(term.objective.teaches for term in self.objective)


def arms_of(objective: Sum, tasks: Mapping[str, Task], *, unlabeled: bool, attribution: bool) -> tuple[Arm, ...]:
    """List the arms of a run, the student first and the control second."""
    refuse_objective(objective, tasks)
    hard = control_objective(objective, tasks)
    arms = [Arm(STUDENT, objective, unlabeled), Arm(CONTROL, hard, unlabeled=False)]
    if attribution and unlabeled:
        arms.append(Arm(SOFT, objective, unlabeled=False))
        if any(task.decided for task in tasks.values()):
            arms.append(Arm(PSEUDO, hard, unlabeled=True, pseudo=True))
    return tuple(arms)


def refuse_objective(objective: Sum, tasks: Mapping[str, Task]) -> None:
    """Refuse an objective without a teacher, and losses on tasks that are not there or that they are not made for."""
    problems = [problem for term in objective for problem in _misfits(term.objective, tasks)]
    if problems:
        raise ConfigError.of(problems, "the objective")
    if not any(term.objective.teaches and _size(term) for term in objective):
        raise ConfigError(
            "expected an objective in which the teacher has a part, got one of hard labels only",
            "add a distillation term, for example 0.1 * CE + 0.9 * KD(temperature=4); the control comes by itself",
        )


def _misfits(objective: Objective, tasks: Mapping[str, Task]) -> Iterator[Problem]:
    name, on = type(objective).__name__, getattr(objective, "on", None)
    if on is None:
        return
    if on not in tasks:
        near = suggest(on, tasks) or f"write {name}(on='{next(iter(tasks))}')"
        yield Problem(name, f"expected a task of the data ({', '.join(tasks)}), got '{on}'", near)
    elif objective.kinds and not _is_for(objective, tasks[on]):
        default = tasks[on].objective
        what = f"expected a {' or '.join(objective.kinds)} task, '{on}' is {tasks[on].kind}"
        yield Problem(name, what, f"for example {default}, or leave the objective out")


def _is_for(objective: Objective, task: Task) -> bool:
    """Whether a loss is made for a kind of task.

    Every word of a tagging task is one of its classes; a token of a text is a choice among the classes of a vocabulary.
    """
    if task.kind in objective.kinds:
        return True
    if not task.aligned and objective.traits.labels != "none":
        return False  # it would look for a label at each position
    fits = bool(set(task.losses) & set(objective.kinds))
    return fits and (task.kind != "generation" or (objective.traits.positions and not objective.batchwise))


def control_objective(objective: Sum, tasks: Mapping[str, Task]) -> Sum:
    """What the control is trained on: the hard terms, weighted up to the total of all terms on outputs of their task.

    Without that the control of 0.1 * CE + 0.9 * KD would be a tenth as loud as its student, which matters under
    clipping and weight decay. Losses on inner features and on relations have no unit in common with labels: they count
    up to a total of 1, so that the control beside 50 * RKD stays at 1 * CE. A task without a hard term (or with one of
    weight 0, under which the control would stay untrained and every teacher help) gets its plain loss.
    """
    terms: list[Term] = []
    for head, task in tasks.items():
        mine = [term for term in objective if getattr(term.objective, "on", head) == head]
        hard = [term for term in mine if not term.objective.teaches]
        outputs = sum(_size(term) for term in mine if _on_outputs(term.objective))
        total = max(outputs, min(sum(_size(term) for term in mine), 1.0))
        loud = sum(_size(term) for term in hard)
        if loud > 0:
            share = total / loud
            terms += [Term(_scaled(term, share), term.objective) for term in hard]
        else:
            terms.append(Term(total or 1.0, plain_loss(task, head)))
    return Sum(tuple(terms))


def _on_outputs(objective: Objective) -> bool:
    """Whether a loss compares outputs row by row, so that its weight compares with that of a hard loss."""
    needs = objective.teacher_needs()
    return not (needs.taps or needs.attention or objective.batchwise)


def plain_loss(task: Task, head: str) -> Objective:
    """The hard loss of a task, as an objective on one head."""
    from limbeck.objectives import parse

    (term,) = parse(task.hard).terms
    loss: Any = replace(term.objective, on=head)  # type: ignore[call-arg]
    return fitted(loss, head, task)


def fitted_to(objective: Sum, tasks: Mapping[str, Task]) -> Sum:
    """An objective whose losses have the fields that their tasks decide, such as the levels of quantiles.

    Raises ConfigError where a field was given that is another.
    """
    terms = []
    for term in objective:
        on = str(getattr(term.objective, "on", None))
        found = term.objective if on not in tasks else fitted(term.objective, on, tasks[on])
        terms.append(replace(term, objective=found))
    return Sum(tuple(terms))


def fitted(loss: Objective, head: str, task: Task) -> Objective:
    """A loss with the fields that its task decides, where it has such fields."""
    own = {each.name: each.default for each in fields(loss)}
    decided = {name: value for name, value in task.loss_fields.items() if name in own}
    for name, value in decided.items():
        given = getattr(loss, name)
        if given not in (own[name], value):
            raise ConfigError(
                f"expected {name} of {type(loss).__name__} to be those of the task '{head}', {list(value)}, "
                f"got {list(given)}",
                f"leave {name} out of the loss: the task decides them",
            )
    return replace(loss, **decided) if decided else loss


def plain_sum(tasks: Mapping[str, Task]) -> Sum:
    """The hard losses of all tasks: what a teacher is trained on."""
    return Sum(tuple(Term(1.0, plain_loss(task, head)) for head, task in tasks.items()))


def _size(term: Term) -> float:
    weight = term.weight
    return weight.mean if isinstance(weight, Ramp) else float(weight)


def _scaled(term: Term, share: float) -> float | Ramp:
    weight = term.weight
    if isinstance(weight, Ramp):
        return Ramp(weight.start * share, weight.end * share, weight.until, weight.begin)
    return float(weight) * share
