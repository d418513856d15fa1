"""Answers that were labelled before, as the teacher of another run: the teacher itself is not needed any more.

answers = lb.label(teacher, data, out="runs/answers")
lb.distill(answers, "mlp(hidden=[16])", data)
lb.distill(answers, "mlp(hidden=[8])", data)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.core.errors import ConfigError, StoreMismatch
from limbeck.core.files import read_json
from limbeck.core.findings import Finding
from limbeck.core.manifest import RUN_NAME
from limbeck.data.rows import Array
from limbeck.signals import Batch, Needs, Output, Signals, TeacherSource
from limbeck.stages import answers
from limbeck.stages.judged import documents_of
from limbeck.stages.teachers import NO_COST, refuse_inner
from limbeck.transfer.index import KeyIndex, as_keys, hex_key
from limbeck.transfer.manifest import MANIFEST_NAME
from limbeck.transfer.source import Stored
from limbeck.transfer.store import Store

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.data.tasks import Task
    from limbeck.stages.job import Job

TRANSFER = "transfer"


def transfer_folder(where: str | Path) -> Path:
    """The folder of a transfer set: itself, or that of a run folder; raises ConfigError where there is none."""
    path = Path(where)
    for candidate in (path, path / TRANSFER):
        if (candidate / MANIFEST_NAME).is_file():
            return candidate
    raise ConfigError(
        f"expected a transfer set at {path}, there is no {MANIFEST_NAME} in it",
        "give the folder of a run that was labelled (limbeck label), or its folder transfer",
    )


@dataclass
class AnsweredTeacher:
    """A transfer set, with the answers to validation and test rows that labelling left beside it."""

    path: Path
    _beside: _Beside | None = field(default=None, repr=False)

    @classmethod
    def of(cls, where: str | Path) -> AnsweredTeacher:
        """From the folder of a transfer set or of a run."""
        return cls(transfer_folder(where))

    @cached_property
    def store(self) -> Store:
        """The transfer set; raises StoreMismatch where it is unfinished, StoreDamaged where a byte is wrong."""
        store = Store(self.path)
        store.require_complete()
        return store

    def describe(self) -> dict[str, Any]:
        identity = self.store.manifest.identity
        return {"kind": "answers", "teacher": identity.teacher, "preprocessing": identity.preprocessing}

    def teach(self, job: Job, folder: Path) -> list[Finding]:
        self._refuse_other_views(job)
        self._refuse_other_documents(job)
        splits = (answers.VALIDATION, answers.TEST)
        files = [self.path.parent / answers.file_name(split, "teacher", 0) for split in splits]
        self._beside = _Beside.read([file for file in files if file.is_file()])
        return []

    def _refuse_other_views(self, job: Job) -> None:
        """Augmented rows have answers only where they were labelled under the same view function."""
        if job.data.view is None:
            return
        there, asked = self.store.manifest.identity.view, job.data.view.fingerprint
        if there != asked or self.store.views < job.data.views:
            raise StoreMismatch(
                f"expected answers to {job.data.views} views of {job.data.view.describe()} in {self.path}, it holds "
                f"{self.store.views} views of {'the same' if there == asked else 'another'} augmentation",
                "label with this view and as many views, or train without",
            )

    def _refuse_other_documents(self, job: Job) -> None:
        """Ranks that stand beside the answers hold among the documents of their time only."""
        asked, facts = documents_of(job.data), self._facts()
        if asked is None or facts is None:
            return
        there = facts.get("documents") or {}
        for split, documents in asked.items():
            if there.get(split, documents) != documents:
                raise StoreMismatch(
                    f"expected the {split} documents of {self.path.parent}, among which its teacher was judged, "
                    "got others",
                    "label again with these test rows and this corpus: lb.label(teacher, data)",
                )

    def _facts(self) -> Mapping[str, Any] | None:
        """What labelling noted in the run that the answers are of; None of answers without a run."""
        state = self.path.parent / RUN_NAME
        if not state.is_file():
            return None
        found: Mapping[str, Any] = read_json(state)["stages"].get("label", {}).get("facts", {})
        return found

    def known(self, tasks: Mapping[str, Task]) -> dict[str, tuple[int, ...]]:
        """Ids of the classes that the teacher knew where it did not know all of them, by task."""
        found = (self._facts() or {}).get("known") or {}
        return {head: tuple(ids) for head, ids in found.items() if head in tasks}

    def source(self, job: Job, needs: Needs) -> TeacherSource:
        refuse_inner(needs, "a set of stored answers")
        assert self._beside is not None, "teach comes first"
        return _Known(Stored(self.store, job.data.tasks), self._beside, job.data.tasks)

    def fingerprint(self) -> str:
        return self.store.manifest.identity.teacher

    def cost(self, job: Job) -> dict[str, Any]:
        return dict(NO_COST)


@dataclass(frozen=True)
class _Beside:
    """Answers [M, C] of each head, natural units, by row key: those that are no part of a transfer set."""

    index: KeyIndex
    heads: Mapping[str, Array]

    @classmethod
    def read(cls, files: Sequence[Path]) -> _Beside:
        from limbeck.evaluate import predictions

        tables = [predictions.read(file) for file in files]
        keys = [as_keys(table.keys) for table in tables]
        said = [table.answers["teacher"] for table in tables]
        index = KeyIndex.build(np.concatenate(keys) if keys else np.empty((0, 2), dtype=np.uint64))
        return cls(
            index, {head: np.concatenate([each[head][0] for each in said]) for head in (said[0] if said else ())}
        )


@dataclass(frozen=True)
class _Known:
    """Answers by key: from the transfer set, else from what stands beside it."""

    stored: Stored
    beside: _Beside
    tasks: Mapping[str, Task]

    def have(self) -> Needs:
        """What the transfer set has."""
        return self.stored.have()

    def judged(self, keys: Array, head: str) -> Array:
        """What was judged of rows beside the transfer set [N, 1]; raises StoreMismatch for rows that never were."""
        places = self.beside.index.find(as_keys(keys))
        if (places < 0).any():
            raise StoreMismatch(
                f"expected what was judged of {len(keys)} rows beside {self.stored.store.path}, {(places < 0).sum()} "
                "of them never were",
                "the answers belong to other rows: label these with lb.label(teacher, data), test rows included",
            )
        return self.beside.heads[head][places]

    def answer(self, batch: Batch) -> Signals:
        """Look the rows up; raises StoreMismatch for rows that were never answered."""
        import torch

        keys = as_keys(batch.keys)
        there = self.stored.store.find(keys, batch.views) >= 0
        if there.all():
            return self.stored.answer(batch)
        places = self.beside.index.find(keys[~there])
        if (places < 0).any():
            unknown = keys[~there][places < 0]
            raise StoreMismatch(
                f"expected an answer to each of {len(keys)} rows in {self.stored.store.path} or beside it, "
                f"{len(unknown)} were never answered (the first has key {hex_key(unknown[0])})",
                "the answers belong to other rows: label these with lb.label(teacher, data), test rows included",
            )
        views = None if batch.views is None else batch.views[there]
        inside = self.stored.answer(Batch(keys=keys[there], views=views))
        outputs: dict[str, Output] = {}
        masks = {}
        for head, task in self.tasks.items():
            said = self.beside.heads[head][places]
            if said.dtype == object:  # one array a row: answers to its words
                outputs[head], masks[head] = _padded(inside, head, said, there, task.size)
                continue
            values = np.empty((len(keys), task.size), dtype=np.float32)
            values[there] = np.asarray(inside.outputs[head])
            values[~there] = task.to_training(said)
            outputs[head] = torch.from_numpy(values)
        return Signals(outputs, masks=masks)


def _padded(inside: Signals, head: str, beside: Array, there: Array, width: int) -> tuple[Tensor, Tensor]:
    """Answers [B, T, C] to words and their mask [B, T], of rows from the store and of rows beside it."""
    import torch

    rows: list[Any] = [None] * len(there)
    answers: Any = inside.outputs[head]
    for place, values, mask in zip(np.flatnonzero(there), answers, inside.masks[head], strict=True):
        rows[place] = values[mask].numpy()
    for place, values in zip(np.flatnonzero(~there), beside, strict=True):
        rows[place] = values
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(max(int(lengths.max(initial=0)), 1)) < lengths[:, None]
    out = np.zeros((*mask.shape, width), dtype=np.float32)
    out[mask] = np.concatenate(rows)
    return torch.from_numpy(out), torch.from_numpy(mask)
