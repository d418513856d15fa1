"""Model files, good and hostile, and opening them under an audit hook: `python e2e_model_corpus.py FOLDER` prints JSON.

Every hostile file would write the file `ran` beside itself if it were believed.
"""

import gzip
import io
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np


class Payload:
    """What a pickle would run."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def graph(outside=None):
    """Rows [N, 2] to probabilities [N, 2]; the weights in a file called `outside` where one is named."""
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.eye(2, dtype=np.float32), "weight")
    if outside is not None:
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        entry = weight.external_data.add()
        entry.key, entry.value = "location", outside
    nodes = [helper.make_node("MatMul", ["rows", "weight"], ["logits"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("rows", "logits")]
    made = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def hidden_outside():
    """A graph whose data outside lies in a branch of an If."""
    from onnx import TensorProto, helper

    model = graph()
    constant = helper.make_tensor("inner", TensorProto.FLOAT, [2], [0.0, 0.0])
    constant.ClearField("float_data")
    constant.data_location = TensorProto.EXTERNAL
    entry = constant.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    branch = helper.make_graph([helper.make_node("Constant", [], ["x"], value=constant)], "b", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch))
    return model


def good(folder):
    """One file of each kind that is opened, and rows for it."""
    import skops.io
    from sklearn.ensemble import HistGradientBoostingClassifier

    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    (folder / "good.onnx").write_bytes(graph().SerializeToString())
    fitted = HistGradientBoostingClassifier(max_iter=2).fit(x, x[:, 0] > 0)
    (folder / "good.skops").write_bytes(skops.io.dumps(fitted))
    return x


def skops_of(estimator, module, name):
    """An estimator in skops whose function is another one: `module.name`."""
    import skops.io

    found = io.BytesIO(skops.io.dumps(estimator))
    with zipfile.ZipFile(found) as archive:
        parts = {each: archive.read(each) for each in archive.namelist()}
    text = parts["schema.json"].decode()
    assert "exp2" in text
    schema = json.loads(text)
    _rename(schema, module, name)
    parts["schema.json"] = json.dumps(schema).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for each, content in parts.items():
            archive.writestr(each, content)
    return made.getvalue()


def _rename(node, module, name):
    if isinstance(node, dict):
        if node.get("__loader__") == "FunctionNode":
            node["__module__"], node["__class__"] = module, name
        for value in node.values():
            _rename(value, module, name)
    elif isinstance(node, list):
        for value in node:
            _rename(value, module, name)


def hostile(folder):
    """Write the corpus; its file names."""
    from sklearn.preprocessing import FunctionTransformer

    bad = {}
    payload = Payload(folder / "ran")
    for protocol, ending in ((2, "pkl"), (4, "pickle"), (5, "joblib")):
        bad[f"a.{ending}"] = pickle.dumps(payload, protocol=protocol)
    for ending in ("onnx", "skops", "txt"):
        bad[f"pickle.{ending}"] = pickle.dumps(payload, protocol=4)
        bad[f"old.{ending}"] = pickle.dumps(payload, protocol=0)
    bad["packed.skops"] = gzip.compress(pickle.dumps(payload))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(payload))
    for name in ("a.pt", "a.pth", "a.pt2", "pytorch_model.bin", "archive.onnx", "archive.skops"):
        bad[name] = archive.getvalue()
    bad["a.h5"] = bad["keras.onnx"] = b"\x89HDF\r\n\x1a\n" + bytes(64)
    bad["absolute.onnx"] = graph("/etc/passwd").SerializeToString()
    bad["above.onnx"] = graph("../secret.bin").SerializeToString()
    bad["beside.onnx"] = graph("weights.bin").SerializeToString()
    bad["hidden.onnx"] = hidden_outside().SerializeToString()
    function = FunctionTransformer(np.exp2)
    bad["system.skops"] = skops_of(function, "os", "system")
    bad["borrowed.skops"] = skops_of(function, "sklearn.datasets._openml", "urlopen")
    bad["compiles.skops"] = skops_of(function, "numpy.f2py", "compile")
    bad["text.txt"] = b"import os\n"
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    remote = folder / "remote"
    remote.mkdir()
    (remote / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": {"AutoModel": "code.Model"}}))
    (remote / "code.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")
    return sorted(bad)


class Watch:
    """Audit events of code that runs, processes, connections and files written outside of a folder."""

    def __init__(self, folder):
        self.folder, self.on, self.seen = str(folder), False, []

    def __call__(self, event, found):
        if not self.on:
            return
        if event == "open":
            path, mode, flags = found
            write = (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
            if not write or str(path).startswith(self.folder):
                return
        elif event not in ("exec", "compile", "pickle.find_class", "subprocess.Popen", "os.system", "socket.connect",
                           "os.exec", "os.posix_spawn", "os.fork"):  # fmt: skip
            return
        self.seen.append(f"{event} {found!r:.100}")


def main(folder):
    """Open everything, good ones before the watch so that every library is there."""
    from limbeck.core.errors import LimbeckError
    from limbeck.models.files import open_model
    from limbeck.models.text.hub import where_from

    good(folder)
    names = hostile(folder)
    for name in ("good.onnx", "good.skops"):
        open_model(folder / name)
    watch, said = Watch(folder), {}
    sys.addaudithook(watch)
    watch.on = True
    for name in [*names, "remote"]:
        try:
            where_from(folder / name, "a model", "") if name == "remote" else open_model(folder / name)
        except LimbeckError as error:
            said[name] = str(error)
    watch.on = False
    proof = Watch("/nowhere")
    sys.addaudithook(proof)
    proof.on = True  # the watch sees what it is for
    eval("1 + 1")
    with (folder / "written").open("w"):
        pass
    proof.on = False
    ran = (folder / "ran").exists()
    print(json.dumps({"said": said, "names": names, "seen": watch.seen, "ran": ran, "proof": proof.seen}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
