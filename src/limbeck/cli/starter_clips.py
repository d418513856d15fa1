"""What a table of clips holds: the column of files, the label or transcript, the speaker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limbeck.core.errors import ConfigError

_SPEAKERS = ("speaker", "speaker_id", "client_id", "voice", "who")
_ENOUGH = 10  # speakers that can be split into training, validation and test


def look_at_clips(data: Path, target: Sequence[str], task: str) -> tuple[dict[str, Any], str, list[str], int] | None:
    """Columns by meaning, the task, the reasons and the number of rows; None for a table without clips.

    Raises ConfigError where there is no column of labels.
    """
    from limbeck.data.audio.sources import as_audio, is_transcript
    from limbeck.data.columns import NamedColumns, input_names, targets_of
    from limbeck.data.files import read_table
    from limbeck.data.infer import infer_task
    from limbeck.signals import MAIN

    asked = NamedColumns(target=target[0] if len(target) == 1 else tuple(target)) if target else None
    raw = as_audio(data, asked, "train", None)
    if raw is None:
        return None
    if raw.columns is None or not raw.labels:
        raise ConfigError(f"expected a column of labels or transcripts beside the clips in {data}, found none",
                          "add one, or name it with --target")  # fmt: skip
    labelled, clips = list(targets_of(raw.columns)[MAIN]), input_names(raw.columns)
    columns: dict[str, Any] = {
        "inputs": list(clips), "target": labelled[0] if len(labelled) == 1 else labelled
    }  # fmt: skip
    reasons = [
        f"inputs: {clips[0]} (files of sound at {raw.rate} Hz)",
        f"target: {', '.join(labelled)} ({'as asked' if target else 'by its name or place'})",
    ]
    frame = read_table(data)
    names = [str(name) for name in frame.columns if str(name) not in (*clips, *labelled)]
    speaker = next((name for name in names if name.lower() in _SPEAKERS), None)
    if speaker is not None:
        count = int(frame[speaker].nunique())
        way = "group" if count >= _ENOUGH else "slices"
        columns[way] = speaker if way == "group" else [speaker]
        what = "no speaker stands in two splits" if way == "group" else "too few to keep them apart: results for each"
        reasons.append(f"{way}: {speaker} ({count} speakers; {what})")
    if task != "auto":
        return columns, task, [*reasons, f"task: {task} (as asked)"], len(raw.inputs)
    if is_transcript(raw, MAIN):
        return (
            columns,
            "transcription",
            [*reasons, "task: transcription (the column is named as transcripts are)"],
            len(raw.inputs),
        )
    task, note = infer_task(raw.labels[MAIN])
    return columns, task, [*reasons, f"task: {task} ({note.measured})"], len(raw.inputs)
