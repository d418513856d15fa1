"""The built-in network of parts: its name, its shapes, its file; modules of a user's own that take a mapping."""

import numpy as np
import pandas as pd
import pytest
import torch

import limbeck as lb
from limbeck.models.parts.network import PartsNet
from limbeck.models.parts.spec import PartsSpec, is_parts
from limbeck.models.saved import load, save
from limbeck.stages.bases import student_of

N = 40
TASKS = {"kind": 3, "price": 1}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    parts = {
        "title": [f"{rng.choice(['red', 'blue'])} thing {i}" for i in range(N)],
        "numbers": pd.DataFrame({"a": rng.normal(size=N), "b": rng.choice(["x", "y"], N)}),
        "picture": rng.integers(0, 255, (N, 8, 8), dtype=np.uint8),
        "wave": rng.normal(size=(N, 2, 12)).astype(np.float32),
    }
    y = {"kind": rng.choice(["u", "v", "w"], N), "price": rng.normal(size=N)}
    return lb.Data(train=(parts, y), test_fraction=0.3)


def test_the_name_is_read_and_written():
    spec = PartsSpec.parse('parts(text="text_cnn(filters=4)", join=[32, 16], dropout=0.1)')
    assert spec.networks == {"text": "text_cnn(filters=4)"} and spec.join == (32, 16)
    assert PartsSpec.parse(spec.written()) == spec
    dotted = PartsSpec.parse("parts({'a.b': 'mlp'}, join=0)")
    assert dotted.networks == {"a.b": "mlp"} and dotted.join == ()
    assert PartsSpec.parse("parts") == PartsSpec.parse("auto") == PartsSpec.parse("parts()") == PartsSpec()
    assert is_parts("parts(join=3)") and is_parts("auto") and not is_parts("mlp") and not is_parts("a:parts")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("parts(", "expected a network such as parts"),
        ("parts(text=bag_of_words)", "expected a network such as parts"),
        ("parts(jion=3)", "did you mean 'join'"),
        ("parts(join=-1)", "expected whole numbers >= 1 in join"),
        ("parts(dropout=2)", "expected a dropout from 0 up to 1, got 2"),
    ],
)
def test_names_that_are_refused(text, said):
    with pytest.raises(lb.ConfigError) as error:
        PartsSpec.parse(text)
    assert said in str(error.value)


def test_every_part_gets_a_network_by_its_kind(data):
    student = student_of("auto", data)
    module = student.build(0)
    assert isinstance(module, PartsNet)
    names = {part: text.partition("(")[0] for part, text in module.spec.networks.items()}
    assert names == {"title": "bag_of_words", "numbers": "mlp", "picture": "cnn", "wave": "series_cnn"}
    rows = student.encode(data.train.inputs, data.preprocess)
    assert rows["title"].dtype == torch.int32 and rows["picture"].shape[1:] == (1, 8, 8)
    said = module.eval()(rows.plain())
    assert {head: out.shape[1] for head, out in said.items()} == TASKS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("parts(titel='text_cnn')", "did you mean 'title'"),
        ("parts(title='mlp')", "the network of the part 'title': expected bag_of_words or text_cnn for texts"),
        ("parts(numbers='cnn')", "the network of the part 'numbers': expected images"),
        ("parts(numbers='mpl')", "did you mean 'mlp'"),
        ("mlp(hidden=[4])", "expected a network for rows of parts (title, numbers, picture, wave), got 'mlp"),
    ],
)
def test_networks_that_do_not_fit(data, text, said):
    with pytest.raises((lb.ConfigError, lb.LimbeckError)) as error:
        student_of(text, data)
    assert said in str(error.value)


def test_a_network_of_parts_for_other_rows_is_refused():
    rng = np.random.default_rng(0)
    plain = lb.Data(train=(rng.normal(size=(N, 3)), rng.integers(0, 2, N)), test_fraction=0.3)
    with pytest.raises(lb.ConfigError, match="expected rows of several parts for the network parts, got"):
        student_of("parts", plain)


def test_it_is_read_back_from_its_file_with_its_tokenizer(data, tmp_path):
    student = student_of("parts(join=8)", data)
    module = student.build(3).eval()
    save(module, tmp_path, source=student)
    rows = student.encode(data.test.inputs, data.preprocess).plain()
    for again in (load(tmp_path), load(tmp_path, like=student.build(4))):
        for head in TASKS:
            assert torch.equal(module(rows)[head], again(rows)[head])
    assert load(tmp_path).encoder.fingerprint == module.encoder.fingerprint
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(lb.LimbeckError, match=r"expected .*tokenizer.json to match its checksum"):
        load(tmp_path)


class Own(torch.nn.Module):
    """Reads two parts of the four; gives a tuple in the order of the tasks."""

    def __init__(self, nested=False):
        super().__init__()
        self.first, self.second = torch.nn.LazyLinear(3), torch.nn.Linear(24, 1)
        self.first(torch.zeros(1, 5))

    def forward(self, inputs):
        assert isinstance(inputs, dict)
        return self.first(inputs["numbers"]), self.second(inputs["wave"].flatten(1))


def test_modules_that_take_a_mapping(data):
    with pytest.raises(lb.ConfigError, match="to bring a tokenizer for the text 'title', it has none"):
        student_of(Own(), data)
    fewer = {name: part for name, part in data.train.inputs.items() if name in ("numbers", "wave")}
    y = {"kind": np.array(["u", "v", "w"])[data.train.targets["kind"]], "price": data.train.targets["price"][:, 0]}
    numbers = lb.Data(train=(fewer, y), test_fraction=0.3)
    student = student_of(Own(), numbers)
    assert student.pretrained and student.describe()["parameters"] == 5 * 3 + 3 + 25
    with pytest.raises(lb.LimbeckError, match=r"to take parts numbers .*, it fails on them"):
        student_of(torch.nn.Linear(2, 3), numbers).build(0)

    def make(in_shape, out_sizes):
        assert in_shape == {"numbers": (5,), "wave": (2, 12)} and out_sizes == TASKS
        return Own()

    assert student_of(make, numbers).kind == "factory"


def test_texts_that_are_cut_are_said_by_part(data):
    from limbeck.data.writing import WriteSpec
    from limbeck.stages.text_length import cut_findings

    (finding,) = cut_findings(data, student_of("parts(max_length=2)", data), WriteSpec())
    assert finding.code == "LB121" and "training texts of 'title'" in finding.measured
    assert cut_findings(data, student_of("parts", data), WriteSpec()) == []
