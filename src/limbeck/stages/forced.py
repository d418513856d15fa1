"""Sources with the texts that a student is trained to write, as the tables that a feed reads.

Which texts these are follows from the objective: CE and losses on the teacher's logits run along the references,
SequenceKD along what the teacher wrote. With both CE and SequenceKD every labelled source comes twice, once with each.
A source without a reference comes with the teacher's text, in the arms that see such rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from limbeck.core.errors import ConfigError
from limbeck.data.generation import forced_keys
from limbeck.data.rows import Rows, take_inputs
from limbeck.models.student import Student
from limbeck.models.text.pairs import PairEncoder, targets_of
from limbeck.objectives.base import Sum
from limbeck.objectives.sequence.sequence_kd import SequenceKD, written
from limbeck.train.feed import Table

if TYPE_CHECKING:
    from limbeck.stages.arms import Arm

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Forced:
    """Positions of rows int64 [M], the text for each, and whether the teacher wrote it, bool [M]."""

    places: Array
    texts: Sequence[str]
    by_teacher: Array

    def __len__(self) -> int:
        return len(self.texts)

    def followed_by(self, other: Forced) -> Forced:
        """These and others behind them."""
        return Forced(
            np.concatenate([self.places, other.places]), [*self.texts, *other.texts],
            np.concatenate([self.by_teacher, other.by_teacher]),
        )  # fmt: skip


def references(rows: Rows, head: str) -> Forced:
    """The labelled rows with their references."""
    places = np.flatnonzero(rows.label_mask[head]) if head in rows.label_mask else np.empty(0, np.int64)
    return Forced(places, [str(rows.targets[head][p]) for p in places], np.zeros(len(places), dtype=bool))


@dataclass(frozen=True, eq=False)
class Spoken:
    """What the teacher wrote for rows, by position: its text, whether that is kept, and what each rule dropped."""

    texts: Array  # object [N]
    kept: Array  # bool [N]
    drops: Mapping[str, int] = field(default_factory=dict)

    def at(self, places: Array) -> Forced:
        """The texts that were kept, of the rows at these positions."""
        places = places[self.kept[places]]
        return Forced(places, self.texts[places].tolist(), np.ones(len(places), dtype=bool))


def listens(objective: Sum) -> bool:
    """Whether a term trains on the teacher's texts."""
    return any(isinstance(term.objective, SequenceKD) for term in objective)


def reads(objective: Sum) -> bool:
    """Whether a term trains on the references themselves."""
    return any(not term.objective.teaches for term in objective)


def forced_for(arm: Arm, rows: Rows, head: str, spoken: Spoken | None) -> tuple[Forced, int]:
    """The texts of an arm, those of labelled rows in front, and how many these are.

    Raises ConfigError where the rules left no text of the teacher for a term that trains on them: beside CE that term
    would train on the references and be called the teacher's.
    """
    gold = references(rows, head)
    found = gold
    if listens(arm.objective):
        assert spoken is not None
        taught = spoken.at(gold.places)
        found = gold.followed_by(taught) if reads(arm.objective) else taught
        if not len(taught):
            by = ", ".join(f"{count} by {name}" for name, count in spoken.drops.items())
            raise ConfigError(
                f"expected texts of the teacher for {len(gold)} labelled rows, the rules of `writing` dropped all"
                f"{f' ({by})' if by else ''}",
                "look at the texts in transfer/, loosen the rules, or give a better teacher",
            )
    labelled = len(found)
    if arm.unlabeled and spoken is not None:
        rest = np.setdiff1d(np.arange(len(rows)), gold.places)
        more = spoken.at(rest)
        found = found.followed_by(more if not arm.pseudo else Forced(more.places, more.texts, more.by_teacher & False))
    return found, labelled


def forced_table(
    rows: Rows, forced: Forced, head: str, student: Student, *, live: bool = False, stored: bool = False
) -> Table:
    """Sources and texts encoded, with the tokens of each text as targets.

    `live`: a teacher reads them too; `stored`: its answers are looked up by source and text.
    """
    encoder = student.encoder
    assert isinstance(encoder, PairEncoder)
    encoded = torch.from_numpy(encoder.pairs(take_inputs(rows.inputs, forced.places), forced.texts))
    ids, mask = targets_of(encoded)
    ids = ids.to(torch.int32)
    by_teacher = torch.from_numpy(forced.by_teacher)[:, None]
    targets, masks = {head: ids}, {head: mask & ~by_teacher}
    if forced.by_teacher.any():
        targets[written(head)], masks[written(head)] = ids, mask & by_teacher
    weight = None if rows.weight is None else torch.from_numpy(rows.weight[forced.places])
    keys = rows.keys[forced.places]
    if stored:
        keys = forced_keys(keys, forced.texts)
    return Table(keys, encoded, targets, masks, weight, encoded if live else None)
