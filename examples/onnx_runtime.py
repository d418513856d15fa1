"""Run an exported student with nothing but NumPy and onnxruntime: no torch, no limbeck.

    limbeck demo digits
    python examples/onnx_runtime.py runs/digits/export/student.onnx rows.npy    (a table: rows.csv)

The file takes the raw input that the teacher takes; its metadata says what that is. A student of text takes token ids:
the folder `tokenizer` beside it makes them, with the package tokenizers.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

model, path = sys.argv[1:]
session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
inputs, heads = json.loads(about["limbeck.inputs"]), json.loads(about["limbeck.heads"])

if path.endswith(".npy"):  # arrays and images: one input
    feeds = {inputs[0]["name"]: np.load(path, allow_pickle=False).astype(inputs[0]["dtype"])}
elif "limbeck.text" in about:  # texts, or pairs of them
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(model).parent / "tokenizer" / "tokenizer.json"))
    tokenizer.enable_padding()
    text = json.loads(about["limbeck.text"])
    columns = text["columns"]
    if any(i["name"] == "word_starts" for i in inputs):
        sys.exit("a student of words: limbeck.compress.onnx_model.OnnxStudent runs it, without torch too")
    with open(path, encoding="utf-8", newline="") as file:
        texts = [tuple(row[column] for column in columns) for row in csv.DictReader(file)]
    if text.get("apart"):  # an embedding of each text: all first ones of the pairs, then all second ones
        texts = [(text["prompt"] + row[place],) for place in range(len(columns)) for row in texts]
    encoded = tokenizer.encode_batch([row if len(row) > 1 else row[0] for row in texts])
    parts = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    feeds = {i["name"]: np.array([getattr(e, parts[i["name"]]) for e in encoded], dtype=np.int64) for i in inputs}
else:  # a table: one input for each column
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    feeds = {}
    for i in inputs:
        cells = [row[i["column"]].strip() or i.get("missing", "nan") for row in rows]
        if i["dtype"] == "float32":
            cells = [{"True": 1, "False": 0}.get(cell, cell) for cell in cells]
        feeds[i["name"]] = np.array(cells, dtype="object" if i["dtype"] == "string" else i["dtype"])[:, None]

for head, facts in heads.items():
    role = next(name for name in ("value", "embedding", "label") if name in facts["outputs"])
    (answers,) = session.run([facts["outputs"][role]], feeds)
    for answer in answers:
        print(head, facts["names"][answer] if facts["kind"] == "classification" else answer.tolist())
