"""Transcribe WAV files with NumPy and onnxruntime alone: python examples/transcribe.py student.onnx a.wav b.wav."""

import json
import sys
import wave

import numpy as np
import onnxruntime as ort
from beam_search import decoded  # the file beside this one, for students that were judged with more than one beam

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
    best = logits[0].argmax(-1)  # class 0 is the blank, repeats are one character
    best = best[(best != 0) & (best != np.append(-1, best[:-1]))]
    beams = head["task"]["beams"]
    print(path, "".join(head["names"][i] for i in (best if beams == 1 else decoded(logits[0], beams))), sep="\t")
