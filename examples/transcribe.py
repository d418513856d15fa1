"""Transcribe WAV files with an exported student, NumPy and onnxruntime alone: no torch, no limbeck.

    python examples/transcribe.py runs/speech/export/student.onnx a.wav b.wav

The file takes samples in [-1, 1] at the rate of its training clips; the front end is inside.
"""

import json
import sys
import wave

import numpy as np
import onnxruntime as ort

model, *paths = sys.argv[1:]
session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
(heard,), (head,) = json.loads(about["limbeck.inputs"]), json.loads(about["limbeck.heads"]).values()
beams = head["task"]["beams"]


def decoded(logits):
    """Classes of frames [T, C]: class 0 is the blank, repeats are one character; 1 beam is the best path."""
    if beams == 1:
        best = logits.argmax(-1)
        return best[(best != 0) & (best != np.append(-1, best[:-1]))]
    kept = {(): (0.0, -np.inf)}  # log mass of a prefix's paths that end in a blank, and of those that do not
    for frame in logits - np.logaddexp.reduce(logits, -1, keepdims=True):
        found = {}
        for prefix, (blank, other) in kept.items():
            ways = [(prefix, 0, np.logaddexp(blank, other) + frame[0])]
            ways += [(prefix, 1, other + frame[prefix[-1]])] if prefix else []
            for i in np.flatnonzero(frame >= frame.max() - 12):  # what is less likely opens no prefix
                if i:  # the class that a prefix ends in begins anew only behind a blank
                    before = blank if prefix and i == prefix[-1] else np.logaddexp(blank, other)
                    ways.append(((*prefix, int(i)), 1, before + frame[i]))
            for text, end, mass in ways:
                sums = found.setdefault(text, [-np.inf, -np.inf])
                sums[end] = np.logaddexp(sums[end], mass)
        kept = dict(sorted(found.items(), key=lambda item: (-np.logaddexp(*item[1]), item[0]))[:beams])
    return next(iter(kept))


for path in paths:
    with wave.open(path, "rb") as file:
        if (file.getframerate(), file.getsampwidth(), file.getnchannels()) != (heard["rate"], 2, 1):
            sys.exit(f"{path}: expected 16-bit mono at {heard['rate']} Hz")
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / np.float32(32768)
    (logits,) = session.run([head["outputs"]["answer"]], {heard["name"]: samples[None].astype(np.float32)})
    print(path, "".join(head["names"][i] for i in decoded(logits[0])), sep="\t")
