"""What a teacher is to a run, and the trained thing that somebody brings.

Teachers that limbeck trains are in `taught`, tables, sources and ensembles in `several`, which also has `teacher_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from limbeck.core.errors import ConfigError, NotSupported
from limbeck.core.findings import Finding
from limbeck.core.parts import Parts
from limbeck.data.embedded import EMBEDDED
from limbeck.data.generation import generation_in
from limbeck.data.pairs import both_texts
from limbeck.data.ragged import refuse_fixed_length
from limbeck.data.rows import take_inputs
from limbeck.signals import Batch, Needs, Signals, TeacherSource
from limbeck.stages.parts import prepare_parts, refuse_parts

if TYPE_CHECKING:
    from limbeck.data.data import Data
    from limbeck.stages.job import Job

INPUTS = ("auto", "raw", "encoded")
NO_COST = dict.fromkeys(("parameters", "flops", "state_bytes", "onnx_bytes", "inference_bytes", "threads", "latency"))
_PROBED = 64  # rows


class Teacher(Protocol):
    """A teacher of a run. `teach` makes it ready (trains it, or looks at it); afterwards it has a fingerprint."""

    def describe(self) -> dict[str, Any]:
        """What resolved.yaml says: known before it is taught."""
        ...

    def teach(self, job: Job, folder: Path) -> list[Finding]:
        """Make it ready; goes on where an earlier attempt stopped."""
        ...

    def source(self, job: Job, needs: Needs) -> TeacherSource:
        """The source that answers batches whose teacher inputs are raw rows."""
        ...

    def fingerprint(self) -> str:
        """A hash of what decides its answers."""
        ...

    def cost(self, job: Job) -> dict[str, Any]:
        """Parameters, size and latency as far as they can be known."""
        ...


@dataclass(frozen=True)
class Prepared:
    """A source that is given raw rows and prepares them for the one inside."""

    inner: TeacherSource
    prepare: Callable[[Any], Any]

    def have(self) -> Needs:
        """What the one inside has."""
        return self.inner.have()

    def answer(self, batch: Batch) -> Signals:
        """Prepare the raw rows of the batch and ask the one inside."""
        return self.inner.answer(replace(batch, teacher_inputs=self.prepare(batch.teacher_inputs)))


def refuse_inner(needs: Needs, who: str) -> None:
    """Refuse a loss that looks inside a teacher that has no inside; raises NotSupported."""
    wanted = [f"tap '{name}'" for name in needs.taps] + [f"attention '{name}'" for name in needs.attention]
    if wanted:
        raise NotSupported(
            f"expected a teacher with inner features for {', '.join(wanted)}, got {who}",
            "use a loss on outputs (KD, DKD, DIST, ...), or one torch module as the teacher",
        )


def looks_inside(needs: Needs) -> bool:
    """Whether a loss wants more of a teacher than its outputs."""
    return bool(needs.taps or needs.attention or needs.teacher_input_grad or needs.on_policy)


def raw_tensor(inputs: Any) -> Any:
    """Raw rows as a float32 tensor; raises ConfigError for tables with text."""
    import torch

    try:
        return torch.from_numpy(np.asarray(inputs, dtype=np.float32))
    except (TypeError, ValueError) as e:
        raise ConfigError(
            "expected numbers for a torch teacher that takes raw rows, the table holds text or missing values",
            "give lb.Teacher(model, inputs='encoded') for a network that was trained on encoded rows, "
            "or a callable that does its own preprocessing",
        ) from e


@dataclass
class GivenTeacher:
    """A trained thing that answers: a torch module, a fitted estimator, a callable, or a model's file (ONNX, skops,
    LightGBM), which is opened safely.

    `inputs` says what it takes: "raw" rows as they were given, "encoded" rows as the student takes them, or "auto":
    encoded for a torch module on tables and images, raw for everything else. `output` says whether it gives "logits"
    or "probabilities"; "auto" looks. `classes` names its classes in the order of its columns, where that is another
    order than the task's. `mapping` says which class of the task each of its classes is, where they differ: chances of
    classes that are one are added, a class that is None is left out, and classes that none is are left to the labels.
    `parts` are the parts that it takes of rows of several, all of them without it; of one alone it gets that part.
    """

    model: Any
    inputs: str = "auto"
    output: str = "auto"
    classes: Sequence[Any] | None = None
    mapping: Mapping[Any, Any] | None = None
    parts: Sequence[str] | None = None
    _answering: Any = field(default=None, repr=False)
    _file: tuple[str, str] | None = field(default=None, repr=False)  # name and checksum, where it came of a file

    def __post_init__(self) -> None:
        if self.inputs not in INPUTS:
            raise ConfigError(
                f"expected the inputs of a teacher to be one of {', '.join(INPUTS)}, got '{self.inputs}'",
                "raw: rows as you gave them; encoded: standardised rows as the student takes them",
            )
        from limbeck.models.outputs import check_output_kind

        check_output_kind(self.output)
        self._open()
        if isinstance(self.model, Mapping):
            raise ConfigError(
                f"expected one model in lb.Teacher, got a mapping of {', '.join(map(str, self.model))}",
                "give the mapping itself as the teacher, with lb.Teacher(...) for those of its entries that need it",
            )

    def _open(self) -> None:
        from limbeck.core.files import checksum
        from limbeck.models.files import is_model_file, open_model

        if isinstance(self.model, Path) or (isinstance(self.model, str) and is_model_file(self.model)):
            path = Path(self.model).expanduser()
            self.model = open_model(path)
            self._file = (path.name, checksum(path))

    @property
    def is_network(self) -> bool:
        """Whether it is a torch module: it has weights, buffers and an inside."""
        from torch import nn

        return isinstance(self.model, nn.Module)

    @property
    def _by_word(self) -> bool:
        """Whether it answers for every word of some task."""
        return bool(getattr(self.model, "tags", ()))

    def known(self, tasks: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Ids of the classes that it knows where its mapping leaves some out, by task; raises ConfigError."""
        from limbeck.models.adapters import columns_of
        from limbeck.models.merged import MergedColumns

        columns = None if self.mapping is None else columns_of(self.model, tasks, self.classes, self.mapping)
        if not isinstance(columns, MergedColumns) or not columns.missing:
            return {}
        return {next(iter(tasks)): columns.known}

    def describe(self) -> dict[str, Any]:
        told = {} if self._file is None else {"file": self._file[0]}
        return {"kind": "given", "model": type(self.model).__name__, **told, "fingerprint": self.fingerprint()}

    def teach(self, job: Job, folder: Path) -> list[Finding]:
        from limbeck.models.adapters import adapt
        from limbeck.models.probing import probe
        from limbeck.models.text.tagging import refuse_whole_texts

        if generation_in(job.data.tasks) is not None:
            return []  # it writes; what it writes is looked at when it has
        refuse_whole_texts(self.model, {head: task.form for head, task in job.data.tasks.items()}, "the teacher")
        if self._by_word:
            return []
        self._answering = adapt(
            self.model, job.data.tasks, output=self.output, classes=self.classes, mapping=self.mapping
        )
        return list(probe(self._answering, self._prepare(job.data)(_first(job.data, _PROBED)), job.data.tasks))

    def source(self, job: Job, needs: Needs) -> TeacherSource:
        from limbeck.transfer.source import Live

        if looks_inside(needs) or self._by_word:
            self._refuse_own_order(needs)
            live = Live(
                self._words_in(job.settings.label_dtype, needs), job.data.tasks, taps=needs.taps,
                attention=needs.attention,
                output="logits" if self._by_word else self.output, input_grad=needs.teacher_input_grad,
            )  # fmt: skip
        else:
            live = Live(self._tensors(job.settings.label_dtype), job.data.tasks, output="logits")
        return Prepared(live, self._prepare(job.data))

    def _words_in(self, dtype: str, needs: Needs) -> Any:
        """The model; one that answers for words in the dtype of labels, where no loss looks inside it."""
        from limbeck.models.half import in_dtype

        return self.model if looks_inside(needs) else in_dtype(self.model, dtype)

    def _refuse_own_order(self, needs: Needs) -> None:
        if self.classes is not None or self.mapping is not None:
            raise NotSupported(
                f"expected a teacher with the task's order of classes where a loss looks inside it "
                f"({', '.join((*needs.taps, *needs.attention)) or 'live'}), got one with classes=[...]",
                "put its outputs in the order of the task in its forward",
            )

    def _tensors(self, dtype: str) -> Callable[[Any], dict[str, Any]]:
        import torch

        from limbeck.models.half import in_dtype

        ask = self._answering if dtype == "fp32" else self._answering.through(in_dtype(self.model, dtype))

        def tensors(inputs: Any) -> dict[str, Any]:
            return {head: torch.as_tensor(np.asarray(values)) for head, values in ask(inputs).items()}

        return tensors

    def fingerprint(self) -> str:
        from torch import nn

        from limbeck.models.fingerprint import module_hash, object_hash

        own = module_hash(self.model) if isinstance(self.model, nn.Module) else object_hash(self.model)
        own = own if self._file is None else self._file[1]
        tokens = self.tokenizer()
        own = own if tokens is None else object_hash([own, tokens])
        told: list[Any] = [
            self.inputs, self.output, None if self.classes is None else [str(name) for name in self.classes]
        ]  # fmt: skip
        if self.mapping is not None:
            told.append(sorted((str(mine), str(said)) for mine, said in self.mapping.items()))
        if self.parts is not None:
            told.append({"parts": list(self.parts)})
        return own if told == ["auto", "auto", None] else object_hash([own, told])

    def tokenizer(self) -> str | None:
        """The fingerprint of the tokenizer of a network of text, its cutting length included; None of others."""
        from limbeck.models.text.network import Tokenised

        return self.model.encoder.fingerprint if isinstance(self.model, Tokenised) else None

    def cost(self, job: Job) -> dict[str, Any]:
        from torch import nn

        from limbeck.evaluate.cost import callable_cost, module_cost

        if generation_in(job.data.tasks) is not None:
            return self._writing_cost(job)
        prepare, rows = self._prepare(job.data), job.data.train
        if isinstance(self.model, nn.Module):
            return module_cost(self.model, prepare(_first(job.data, _PROBED)))
        return callable_cost(
            self._answering, lambda size: prepare(take_inputs(rows.inputs, np.arange(size) % len(rows)))
        )

    def _writing_cost(self, job: Job) -> dict[str, Any]:
        from limbeck.evaluate.cost import module_cost
        from limbeck.models.text.seq2seq import Seq2SeqNetwork
        from limbeck.stages.text_training import writing_cost

        if not isinstance(self.model, Seq2SeqNetwork):
            return dict(NO_COST)
        return module_cost(*writing_cost(job, self.model))

    def _prepare(self, data: Data) -> Callable[[Any], Any]:
        import torch
        from torch import nn

        from limbeck.models.text.network import Tokenised

        module = isinstance(self.model, nn.Module)
        if isinstance(data.train.inputs, Parts):
            return prepare_parts(self.model, self.parts, self.inputs, data)
        refuse_parts(self.parts, data.train.kind)
        if isinstance(self.model, Tokenised):
            return lambda inputs: torch.from_numpy(self.model.encoder.encode(inputs))
        how = self.inputs if self.inputs != "auto" else "encoded" if module and data.train.kind != "array" else "raw"
        if data.preprocess.ragged:
            if not module and hasattr(self.model, "predict"):
                raise refuse_fixed_length(f"the estimator {type(self.model).__name__}")
            how = "encoded" if module else how  # a tensor has one length
        if how == "encoded":
            return lambda inputs: _as_input(data.preprocess.encode(inputs), module)
        if any(
            task.kind in EMBEDDED for task in data.tasks.values()
        ):  # a single text is asked about twice, and never an empty one
            return both_texts
        if not module and any(task.kind == "segmentation" for task in data.tasks.values()):
            return np.asarray  # images as they are, whose pixels it answers
        return raw_tensor if module else estimator_input


def _first(data: Data, count: int) -> Any:
    """The inputs of the first training rows, a copy: a model may change what it is given."""
    return take_inputs(data.train.inputs, np.arange(min(count, len(data.train))))


def _as_input(values: Any, tensor: bool) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)) if tensor else values


def estimator_input(inputs: Any) -> Any:
    """Raw rows for an estimator: it takes tables of two dimensions, images lie flat for it."""
    return inputs.reshape(len(inputs), -1) if isinstance(inputs, np.ndarray) and inputs.ndim > 2 else inputs
