"""Ragged answers: one row of scores for every position of a row, as values and offsets."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limbeck.core.errors import ConfigError, LimbeckError, MissingSignal, ShapeMismatch, StoreDamaged
from limbeck.core.files import read_journal
from limbeck.data.keys import key_hex
from limbeck.data.rows import Rows
from limbeck.objectives.response.kd import KD
from limbeck.objectives.response.logit_mse import LogitMSE
from limbeck.signals import Batch, Needs, Signals, TopK
from limbeck.transfer.codecs import Dense, Frames, codec_of, default_codec
from limbeck.transfer.dataset import TransferSet
from limbeck.transfer.exchange import export_parquet, import_table
from limbeck.transfer.source import PredictionTable, Stored
from limbeck.transfer.store import Store
from limbeck.transfer.verify import verify

NAMES = ("O", "B-X", "I-X")


class Words:
    """A teacher with a score for each word; a row is as long as its first number says, on either side."""

    def __init__(self, names=("main",), *, left=False, spoil=None, topk=None):
        self.names, self.left, self.spoil, self.topk, self.asked = names, left, spoil, topk, 0

    def have(self):
        return Needs(outputs=self.names)

    def answer(self, batch):
        self.asked += len(batch)
        lengths = lengths_of(batch.teacher_inputs)
        longest = int(lengths.max()) + 1  # always some padding
        steps = torch.arange(longest)
        mask = steps >= longest - lengths[:, None] if self.left else steps < lengths[:, None]
        outputs, masks = {}, {}
        for name in self.names:
            if name == "whole":
                outputs[name] = batch.teacher_inputs[:, :2]
                continue
            values = torch.full((len(batch), longest, 3), float("nan"))
            values[mask] = scores(batch.teacher_inputs, lengths)
            if self.topk:
                said = values.nan_to_num().log_softmax(-1)
                top = said.topk(self.topk, -1)
                rest = (1 - top.values.exp().sum(-1)).clamp(min=1e-9).log()
                outputs[name] = TopK(top.indices, top.values, rest, 3)
            else:
                outputs[name] = values
            masks[name] = mask
        said = Signals(outputs, masks=masks)
        return said if self.spoil is None else self.spoil(said)


def lengths_of(inputs):
    return (inputs[:, 0].abs() * 4).long() % 7  # some rows are empty


def scores(inputs, lengths):
    """Scores [P, 3] of all words of rows, one row after the other."""
    owner = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    place = torch.cat([torch.arange(int(n)) for n in lengths]) if len(lengths) else torch.empty(0)
    return torch.stack([inputs[owner, 1] + place, inputs[owner, 2] - place, inputs[owner, 3] * (place + 1)], dim=1)


def tagging(kit, **changes):
    return {"heads": {"main": kit.Task("tagging", NAMES)}} | changes


def expected(rows, dtype=torch.float16):
    inputs = torch.from_numpy(rows.inputs)
    lengths = lengths_of(inputs)
    return [part.to(dtype).float() for part in scores(inputs, lengths).split(lengths.tolist())]


def same_rows(said, wanted, head="main"):
    values, mask = said.outputs[head], said.masks[head]
    assert mask.sum(1).tolist() == [len(part) for part in wanted]
    for row, kept, part in zip(values, mask, wanted, strict=True):
        assert torch.equal(row[kept], part)
        assert not row[~kept].any(), "zeros where a row has ended"


@pytest.fixture(params=["held", "mapped"])
def where(request, monkeypatch):
    if request.param == "mapped":
        monkeypatch.setattr("limbeck.transfer.store.IN_MEMORY", 0)
    return request.param


def test_rows_come_back_padded_with_their_mask(tmp_path, kit, where):
    rows, more = kit.rows(60), kit.rows(90)
    kit.store(tmp_path / "t", rows, Words(), **tagging(kit))
    store = kit.store(tmp_path / "t", more, Words(), **tagging(kit))
    order = np.random.default_rng(0).permutation(90)
    same_rows(store.signals(store.rows_of(more.keys[order])), [expected(more)[i] for i in order])
    same_rows(store.signals(store.rows_of(more.keys[[5]])), [expected(more)[5]])
    assert store.lengths("main")[store.rows_of(more.keys)].tolist() == [len(part) for part in expected(more)]
    assert store.signals(np.empty(0, dtype=np.int64)).outputs["main"].shape == (0, 1, 3)
    assert store.column("main").shape == (sum(len(part) for part in expected(more)), 3)


def test_padding_on_the_left_gives_the_same_store(tmp_path, kit):
    kit.store(tmp_path / "t", kit.rows(), Words(), **tagging(kit))
    kit.store(tmp_path / "u", kit.rows(), Words(left=True), **tagging(kit))
    assert kit.content(tmp_path / "t") == kit.content(tmp_path / "u")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=40),
    st.sampled_from([4, 8, 16]),
    st.booleans(),
    st.sampled_from(["float16", "float32"]),
    st.randoms(use_true_random=False),
)
def test_any_lengths_come_back(tmp_path_factory, kit, lengths, shard_rows, mapped, dtype, draw):
    folder = tmp_path_factory.mktemp("frames")
    inputs = np.random.default_rng(len(lengths)).normal(size=(len(lengths), 4)).astype(np.float32)
    inputs[:, 0] = (np.array(lengths) + 0.5) / 4
    rows = Rows("array", inputs, kit.rows(len(lengths)).keys)
    heads, codecs = {"main": kit.Task("tagging", NAMES)}, {"main": Frames(dtype)}
    store = kit.store(folder, rows, Words(), heads=heads, codecs=codecs, batch_size=4, shard_rows=shard_rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limbeck.transfer.store.IN_MEMORY", 0 if mapped else 1 << 20)
        asked = [draw.randrange(len(rows)) for _ in range(9)]
        wanted = [expected(rows, getattr(torch, dtype))[i] for i in asked]
        same_rows(store.signals(store.rows_of(rows.keys[asked])), wanted)
        assert verify(folder).complete


def test_one_output_is_ragged_and_another_is_not(tmp_path, kit, where):
    heads = {"slots": kit.Task("tagging", NAMES), "whole": kit.Task(names=("a", "b"))}
    rows = kit.rows(50)
    store = kit.store(tmp_path / "t", rows, Words(("slots", "whole")), heads=heads, codecs={"whole": Dense("float32")})
    source = Stored(store, heads)
    assert source.have() == Needs(outputs=("slots", "whole"))
    said = source.bound_to(rows.keys, 0).at(np.arange(9), None)
    same_rows(said, expected(rows)[:9], "slots")
    assert torch.equal(said.outputs["whole"], torch.from_numpy(rows.inputs[:9, :2]))
    assert said.mask is None and said.mask_of("whole") is None and said.mask_of("slots") is said.masks["slots"]
    lines = read_journal(tmp_path / "t" / "journal.jsonl")
    assert [set(line["positions"]) for line in lines] == [{"slots"}, {"slots"}], "the other one's sizes are the plan's"


def test_a_loss_reads_ragged_answers_under_their_own_mask(tmp_path, kit):
    store = kit.store(tmp_path / "t", kit.rows(20), Words(), **tagging(kit))
    said = store.signals(np.arange(20))
    answers, mask = said.outputs["main"], said.masks["main"]
    student = Signals({"main": torch.zeros_like(answers)}, masks={"main": mask})
    batch = Batch(keys=kit.rows(20).keys)
    total, count = KD(temperature=1).loss(student, said, batch, None)
    flat = answers[mask]
    kl = (flat.softmax(-1) * (flat.log_softmax(-1) + np.log(3))).sum()
    assert count == mask.sum() == KD(temperature=1).count(said, batch)
    assert total == pytest.approx(float(kl), rel=1e-5)


# --------------------------------------------------------------------------------------- kill, damage


def test_an_exit_at_every_commit_ends_in_the_same_bits(tmp_path, kit, monkeypatch):
    from limbeck.core import files

    rows = kit.rows(60)
    kit.store(tmp_path / "sound", rows, Words(), **tagging(kit, shard_rows=16))
    sound = kit.content(tmp_path / "sound")
    real, at = files.commit, 0
    while True:
        calls, folder = [], tmp_path / str(at)

        def commit(path, write, *, append=False, calls=calls, at=at):
            calls.append(path)
            if len(calls) == at + 1:
                raise SystemExit(9)
            real(path, write, append=append)

        monkeypatch.setattr(files, "commit", commit)
        try:
            kit.store(folder, rows, Words(), **tagging(kit, shard_rows=16))
            break
        except SystemExit:
            at += 1
        monkeypatch.setattr(files, "commit", real)
        kit.store(folder, rows, Words(), **tagging(kit, shard_rows=16))
        assert kit.content(folder) == sound
    assert at > 12, "keys, manifest, and for each of 4 shards two files and a line"


@pytest.mark.parametrize("column", ["offsets", "values"])
def test_a_damaged_byte_is_found_and_its_shard_alone_labelled_again(tmp_path, kit, flip, where, column):
    rows = kit.rows(60)
    kit.store(tmp_path / "t", rows, Words(), **tagging(kit))
    before = kit.content(tmp_path / "t")
    path = tmp_path / "t" / "segment-0000" / f"00-main.{column}.00001.bin"
    for place in range(0, path.stat().st_size, 7):
        flip(path, place)
        assert [(d.file, d.rows) for d in verify(tmp_path / "t").damage] == [
            (f"segment-0000/00-main.{column}.00001.bin", (32, 59))
        ]
        flip(path, place)
    flip(path, 3)
    with pytest.raises(StoreDamaged, match=rf"{column}\.00001\.bin to hold answers 32 to 59 \(segment 0, shard 1\)"):
        Store(tmp_path / "t").signals(np.array([40]))
    teacher = Words()
    kit.store(tmp_path / "t", rows, teacher, **tagging(kit))
    assert teacher.asked == 28
    assert kit.content(tmp_path / "t") == before


def test_a_shard_in_which_no_row_has_a_position(tmp_path, kit, where):
    rows = kit.rows(20)
    rows.inputs[:, 0] = 0
    store = kit.store(tmp_path / "t", rows, Words(), **tagging(kit))
    said = store.signals(np.arange(20))
    assert said.outputs["main"].shape == (20, 1, 3) and not said.masks["main"].any()
    assert verify(tmp_path / "t").complete


def test_memory_does_not_grow_with_rows(tmp_path, kit, monkeypatch):
    monkeypatch.setattr("limbeck.transfer.store.IN_MEMORY", 0)
    store = kit.store(tmp_path / "t", kit.rows(2000), Words(), **tagging(kit, shard_rows=400))
    for start in range(0, 2000, 100):
        store.signals(np.arange(start, start + 100))
    held = [reader._whole for reader in store._readers.values()]
    assert held == [None, None], "shards stay mapped files"
    owned = [reader for reader in vars(store._ragged["main"]).values() if isinstance(reader, np.ndarray)]
    assert all(array.size == 5 for array in owned), "one number a shard, none a row"


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        (lambda s: Signals({"main": s.outputs["main"][..., :2]}, masks=s.masks), ShapeMismatch, "positions, 3\\], got"),
        (lambda s: Signals({"main": s.outputs["main"][:, 0]}), ShapeMismatch, "to have shape \\[8, positions, 3\\]"),
        (
            lambda s: Signals(s.outputs, masks={"main": s.masks["main"][:, 1:]}),
            ShapeMismatch,
            "expected the mask of head 'main' to have shape",
        ),
        (lambda s: Signals(s.outputs), LimbeckError, "NaN or infinity for 8 of 8 rows of a batch: positions"),
    ],
)
def test_answers_that_do_not_fit_are_refused(tmp_path, kit, spoil, kind, words):
    with pytest.raises(kind, match=words):
        kit.store(tmp_path / "t", kit.rows(8), Words(spoil=spoil), **tagging(kit))
    assert not list((tmp_path / "t").rglob("*.values.*"))


def test_words_are_stored_ragged_by_default():
    assert default_codec(True, False) == Frames("float16") == codec_of(True, "float16")
    assert codec_of(True, "float32") == Frames("float32") and default_codec(False, True) == Dense("float32")


def test_settings_that_are_none():
    with pytest.raises(ConfigError, match="expected the dtype of ragged answers to be float16 or float32, got 'int8'"):
        Frames("int8")
    with pytest.raises(ConfigError, match="expected topk of at least 1 class a position, got 0"):
        Frames(topk=0)


# --------------------------------------------------------------------------------------- top-k


@pytest.mark.parametrize("given_as", ["logits", "topk"])
def test_the_best_classes_of_every_position(tmp_path, kit, where, given_as):
    rows, codec = kit.rows(60), Frames("float32", topk=2)
    teacher = Words(topk=3 if given_as == "topk" else None)
    store = kit.store(tmp_path / "t", rows, teacher, **tagging(kit, codecs={"main": codec}))
    assert (codec.form, codec.exactness) == ("topk", "biased")
    assert Stored(store).have().forms_of("main") == ("topk",)
    said = store.signals(store.rows_of(rows.keys))
    output, mask = said.outputs["main"], said.masks["main"]
    wanted = torch.cat(expected(rows, torch.float32)).log_softmax(-1)
    best = wanted.sort(descending=True)
    assert torch.equal(output.ids[mask], best.indices[:, :2])
    assert torch.allclose(output.logprobs[mask], best.values[:, :2], atol=1e-5)
    assert torch.allclose(output.rest[mask].exp(), best.values[:, 2].exp(), atol=1e-5)
    student = Signals({"main": torch.zeros(60, mask.shape[1], 3)}, masks=said.masks)
    total, count = KD(temperature=1).loss(student, said, Batch(keys=rows.keys), None)
    assert torch.isfinite(total) and count == mask.sum()


def test_all_classes_kept_is_the_dense_answer(tmp_path, kit):
    rows = kit.rows(30)
    every = kit.store(tmp_path / "t", rows, Words(), **tagging(kit, codecs={"main": Frames("float32", topk=9)}))
    said = every.signals(every.rows_of(rows.keys))
    student = Signals({"main": torch.randn(30, said.masks["main"].shape[1], 3)}, masks=said.masks)
    dense = kit.store(tmp_path / "u", rows, Words(), **tagging(kit, codecs={"main": Frames("float32")}))
    other = dense.signals(dense.rows_of(rows.keys))
    batch = Batch(keys=rows.keys)
    one, two = KD().loss(student, said, batch, None)[0], KD().loss(student, other, batch, None)[0]
    assert one == pytest.approx(float(two), rel=1e-5)


def test_fewer_classes_than_asked_for_are_refused(tmp_path, kit):
    with pytest.raises(ConfigError, match="expected 2 classes a position from the teacher for head 'main', it gives 1"):
        kit.store(tmp_path / "t", kit.rows(), Words(topk=1), **tagging(kit, codecs={"main": Frames(topk=2)}))


def test_forms_are_asked_for_and_given_by_output():
    have = Needs(outputs=("a", "b"), forms=("dense", "topk"), by_output={"a": ("dense",), "b": ("topk",)})
    both = LogitMSE(on="a").teacher_needs() | KD(on="b").teacher_needs()
    assert both.forms_of("a") == ("dense",) and "topk" in both.forms_of("b")
    assert both.missing_from(have) == []
    assert LogitMSE(on="b").teacher_needs().missing_from(have) == ["outputs as dense (there: topk)"]
    again = LogitMSE(on="b").teacher_needs() | KD(on="a").teacher_needs()
    assert again.missing_from(have) == ["output 'b' as dense (there: topk)"]
    assert (KD(on="b").teacher_needs() | LogitMSE(on="b").teacher_needs()).forms_of("b") == ("dense",)


# --------------------------------------------------------------------------------------- exchange


def test_ragged_answers_go_out_to_parquet_and_come_back(tmp_path, kit):
    rows = kit.rows(50)
    heads = {"main": kit.Task("tagging", NAMES)}
    first = kit.store(tmp_path / "t", rows, Words(), heads=heads)
    path = export_parquet(first, tmp_path / "answers.parquet")
    frame = pd.read_parquet(path)
    by_key = first.signals(np.arange(50))
    for cell, values, mask in zip(frame["main"], by_key.outputs["main"], by_key.masks["main"], strict=True):
        assert np.array_equal(np.stack(cell) if len(cell) else np.empty((0, 3)), values[mask].numpy())
    shuffled = frame.drop(columns="view").sample(frac=1, random_state=0)
    second = import_table(shuffled, rows, tmp_path / "u", heads=heads, output="logits")
    same_rows(second.signals(second.rows_of(rows.keys)), expected(rows))
    with pytest.raises(ConfigError, match="expected a list of 3 numbers for every word in the column 'main', row 0 h"):
        import_table(shuffled.assign(main=[[[1.0, 2.0]]] * 50), rows, tmp_path / "v", heads=heads)
    with pytest.raises(ConfigError, match="expected a column 'main' of predictions with one list of 3 numbers for ev"):
        import_table(shuffled.drop(columns="main"), rows, tmp_path / "v", heads=heads)


def test_a_table_has_one_list_of_scores_for_every_word(kit):
    words = pd.DataFrame({"tokens": [("ann", "met", "bob"), ("hello",), (), ("so", "what")]})
    rows = Rows("text", words, np.arange(8, dtype=np.uint64).reshape(4, 2), ids=np.arange(10, 14))
    heads, one = {"main": kit.Task("tagging", NAMES)}, [0.5, 0.25, 0.25]
    frame = pd.DataFrame({"id": [10, 11, 12, 13, 14], "main": [[one] * 3, [one], [], [one] * 2, [one] * 9]})
    table = PredictionTable(frame, [rows.take(np.arange(2)), rows.take(np.arange(2, 4))], heads)
    assert table.answer(Batch(keys=rows.keys)).masks["main"].sum(1).tolist() == [3, 1, 0, 2]
    short = frame.assign(main=[[one] * 3, [one], [one], [one], []])
    with pytest.raises(ConfigError) as caught:
        PredictionTable(short, rows, heads)
    assert caught.value.what == (
        "expected one list of scores for every word in the predictions of head 'main', 2 rows have another number: "
        "id 12 has 0 words, got 1, id 13 has 2 words, got 1"
    )
    with pytest.raises(ConfigError, match=r"1 rows have another number: key [0-9a-f]{32} has 2 words, got 1"):
        keyed = frame.iloc[:4].drop(columns="id").assign(key=key_hex(rows.keys), main=[[one] * 3, [one], [], [one]])
        PredictionTable(keyed, rows, heads)


def test_probabilities_of_words_come_as_text_too(tmp_path, kit):
    rows = kit.rows(2, ids=True)
    frame = pd.DataFrame({"id": [1, 0], "main": ["[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]", "[]"]})
    store = import_table(frame, rows, tmp_path / "t", heads={"main": kit.Task("tagging", NAMES)})
    said = store.signals(store.rows_of(rows.keys))
    assert said.masks["main"].sum(1).tolist() == [0, 2]
    assert torch.allclose(said.outputs["main"][1].softmax(-1)[0], torch.tensor([0.5, 0.25, 0.25]), atol=1e-3)


def test_the_best_classes_go_out_to_parquet(tmp_path, kit):
    store = kit.store(tmp_path / "t", kit.rows(20), Words(), **tagging(kit, codecs={"main": Frames(topk=2)}))
    frame = pd.read_parquet(export_parquet(store, tmp_path / "answers.parquet"))
    assert list(frame.columns) == ["key", "view", "main.ids", "main.logprobs", "main.rest"]
    assert [len(cell) for cell in frame["main.ids"]] == store.lengths("main").tolist()


def test_a_transfer_set_gives_rows_without_padding(tmp_path, kit):
    rows = kit.rows(30)
    store = kit.store(tmp_path / "t", rows, Words(), **tagging(kit))
    answers = TransferSet(tmp_path / "t")
    places = answers.align(rows.keys)
    for row in range(5):
        assert torch.equal(answers[int(places[row])]["outputs"]["main"], expected(rows)[row])
    batch = answers[places]
    assert torch.equal(batch["masks"]["main"], store.signals(places).masks["main"])
    assert answers.lengths().tolist() == store.lengths("main").tolist()
    with pytest.raises(MissingSignal, match=r"expected a column 'ids' of the output 'main' .* it has offsets, values"):
        store.column("main", "ids")
