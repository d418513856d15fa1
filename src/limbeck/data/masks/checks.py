"""What is odd about pictures and masks (LB126 to LB129)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from limbeck.core.findings import Finding
from limbeck.data.images import CMYK_NOTE, DEEP_NOTE
from limbeck.data.masks.pictures import RESIZED
from limbeck.data.masks.segmentation import BINARY, Segmentation
from limbeck.data.rows import Rows
from limbeck.data.tasks import Task

_RARE = 0.001  # of the pixels


def is_about_pictures(note: str) -> bool:
    """Whether a note of reading is one that a finding of this page says."""
    return RESIZED in note or DEEP_NOTE in note or CMYK_NOTE in note


def look_at_pictures(rows: Mapping[str, Rows], tasks: Mapping[str, Task], notes: Sequence[str]) -> Iterator[Finding]:
    """Every finding about splits of images."""
    notes = list(dict.fromkeys(notes))
    resized = [note for note in notes if RESIZED in note]
    if resized:
        yield Finding(
            "LB126", "note", "images and masks were resized", "; ".join(resized),
            "what is smaller than a pixel of the new size is gone from images and truth alike; scores at another size "
            "are other scores",
            "nothing, or set image_size to the size at which masks will be used",
        )  # fmt: skip
    changed = [note for note in notes if DEEP_NOTE in note or CMYK_NOTE in note]
    if changed:
        yield Finding(
            "LB127", "tip", "images were converted", "; ".join(changed),
            "a student sees what was read; images that use few of the 16 bits become dark and coarse",
            "convert them yourself, the same way in training and in use, where contrast matters",
            {"notes": len(changed)},
        )  # fmt: skip
    for head, task in tasks.items():
        if isinstance(task, Segmentation):
            yield from _of_task(rows, head, task)


def _of_task(rows: Mapping[str, Rows], head: str, task: Segmentation) -> Iterator[Finding]:
    if task.values == BINARY:
        yield Finding(
            "LB129", "note", "masks of 0 and 255 are masks of two classes", f"'{head}': 0 is {task.classes[0]}, 255 is "
            f"{task.classes[1]}",
            "255 often marks pixels without a label; here it is all there is beside 0",
            "nothing; where 255 is to be ignored, name all classes with classes=[...]",
        )  # fmt: skip
    for split in ("train", "test"):
        if split not in rows or head not in rows[split].targets:
            continue
        ids = rows[split].targets[head][rows[split].label_mask[head]]
        counts = np.bincount(ids.ravel() + 1, minlength=task.size + 1)[1:]
        empty = [name for name, count in zip(task.classes, counts, strict=True) if not count]
        if empty:
            yield Finding(
                "LB103", "issue" if split == "train" else "tip", f"classes without pixels in {split}",
                f"{len(empty)} of {task.size} classes of '{head}' have none: {', '.join(empty[:8])}",
                "a class without training pixels is learned from the teacher alone, one without test pixels is not "
                "judged",
                "add images that show these classes, or leave them out of `classes`",
                {"split": split, "classes": empty},
            )  # fmt: skip
        rare = [n for n, c in zip(task.classes, counts, strict=True) if 0 < c < _RARE * counts.sum()]
        if rare and split == "train":
            yield Finding(
                "LB128", "tip", "classes of few pixels",
                f"of '{head}': {', '.join(rare[:8])}, each less than {100 * _RARE:g} % of the labelled pixels",
                "the mean over pixels hardly sees them, in the loss and in pixel accuracy",
                "look at mean IoU; add Dice to the objective: 0.25 * CE + 0.25 * Dice + 0.5 * KD(temperature=1)",
                {"classes": rare},
            )  # fmt: skip
