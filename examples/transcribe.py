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

for path in paths:
    with wave.open(path, "rb") as file:
        if (file.getframerate(), file.getsampwidth(), file.getnchannels()) != (heard["rate"], 2, 1):
            sys.exit(f"{path}: expected 16-bit mono at {heard['rate']} Hz")
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / np.float32(32768)
    (logits,) = session.run([head["outputs"]["answer"]], {heard["name"]: samples[None].astype(np.float32)})
    best = logits[0].argmax(-1)  # of each frame; class 0 is the blank, repeats are one character
    kept = best[(best != 0) & (best != np.append(-1, best[:-1]))]
    print(path, "".join(head["names"][i] for i in kept), sep="\t")
