"""What is said about splits that are streams: where their rows lie, and how they are shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from limbeck.core.errors import ConfigError, NotSupported
from limbeck.core.findings import Finding
from limbeck.data.mixing import WINDOW
from limbeck.data.ondisk import OnDisk
from limbeck.data.raw import Raw
from limbeck.data.rows import Rows, in_memory

_TEST_BYTES = 2 << 30

_WHOLE = ("generation", "tagging", "similarity", "retrieval")  # tasks that look at all texts together


def streamed(raws: Mapping[str, Raw]) -> Iterator[Finding]:
    """LB133 for each split that is a stream, LB134 where its rows are shuffled in windows."""
    on_disk: dict[str, Any] = {s: raw.inputs for s, raw in raws.items() if isinstance(raw.inputs, OnDisk)}
    for split, inputs in on_disk.items():
        if not inputs.where:  # windows of a table that is in memory
            continue
        yield Finding(
            "LB133", "note", f"{split} is a stream",
            f"{len(inputs):,} rows ({inputs.nbytes / 1e6:,.1f} MB) were read once and lie in {inputs.where}",
            "training and labelling read them from there; memory holds their keys and labels",
            "nothing; delete the folder when no run needs it", {"split": split, "rows": len(inputs)},
        )  # fmt: skip
    trained = [split for split in ("train", "unlabeled") if split in on_disk and on_disk[split].nbytes > WINDOW]
    if trained:
        yield Finding(
            "LB134", "note", "rows are shuffled in windows",
            f"{' and '.join(trained)}: {WINDOW >> 20} MiB at a time, of chunks drawn from all of the rows",
            "random rows of a large set would each be a read of their own; rows that lie together on disk come "
            "somewhat together in training",
            "shuffle the shards once where they are sorted by class", {"window": WINDOW},
        )  # fmt: skip


def refuse_streamed_texts(raws: Mapping[str, Raw], task: Any, embedded: str | None) -> None:
    """Refuse streams of texts for tasks that look at all of them together; raises NotSupported."""
    odd = [split for split, raw in raws.items() if raw.kind == "text" and isinstance(raw.inputs, OnDisk)]
    kinds = set(task.values()) if isinstance(task, Mapping) else {task}
    whole = [kind for kind in kinds if isinstance(kind, str) and kind.partition("(")[0] in _WHOLE]
    if odd and (embedded is not None or whole):
        raise NotSupported(
            f"expected texts in memory for the task {embedded or whole[0]}, got a stream as {odd[0]}",
            "streams of texts are for tasks with a label, labels or numbers for each text; give a table or a data set",
        )


def test_in_memory(test: Rows | None) -> Rows | None:
    """The test rows; those of a stream are read whole. Raises ConfigError where they are too many for that."""
    if test is None or not isinstance(test.inputs, OnDisk):
        return test
    if test.inputs.nbytes > _TEST_BYTES:
        raise ConfigError(
            f"expected test rows that fit in memory ({_TEST_BYTES >> 30} GiB), got "
            f"{test.inputs.nbytes / 2**30:.1f} GiB",
            "give fewer of them: the test is read whole",
        )
    return replace(test, inputs=in_memory(test.inputs))
