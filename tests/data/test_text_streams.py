"""Streams of texts: rows of any length on disk, read as they were given."""

import io
import tarfile

import datasets
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import limbeck as lb
from limbeck.core.errors import ConfigError, LimbeckError, NotSupported, StoreDamaged
from limbeck.data import rows as rows_module
from limbeck.data.keys import row_keys
from limbeck.data.layouts import TextLayout
from limbeck.data.ondisk import DiskTexts
from limbeck.data.streams import spool
from limbeck.data.streams.shards import shards_of
from limbeck.data.streams.stream import Stream

REST = ["film", "plot", "cast", "the", "very", "é", "日本"]


def frame_of(rows=120, seed=0):
    draw = np.random.default_rng(seed)
    label = draw.integers(0, 2, rows)
    words = [[*draw.choice(REST, draw.integers(1, 12)), "good" if y else "bad", str(n)] for n, y in enumerate(label)]
    return pd.DataFrame({"text": [" ".join(each) for each in words], "label": label})


def tar(path, frame):
    with tarfile.open(path, "w") as file:
        for row, (text, label) in enumerate(zip(frame["text"], frame["label"], strict=True)):
            for ending, data in (("txt", text.encode()), ("cls", str(label).encode())):
                info = tarfile.TarInfo(f"{row:06d}.{ending}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(rows_module, "HELD", 256)
    return tmp_path / "cache" / "limbeck" / "streams"


def opened(given, split="unlabeled"):
    stream = given if isinstance(given, Stream) else Stream(given)
    return spool.spooled(stream, None, split, None)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=5)), min_size=1, max_size=20))
def test_texts_come_back_as_they_were(rows):
    layout = TextLayout(("a", "b"))
    frame = pd.DataFrame(rows, columns=["a", "b"], dtype=object)
    surrogates = any("\ud800" <= letter <= "\udfff" for row in rows for text in row for letter in text)
    assert not surrogates
    data, lengths = layout.pack(frame)
    assert len(data) == lengths.sum()
    assert layout.unpack(data, lengths).to_numpy().tolist() == frame.to_numpy().tolist()


def test_shards_of_texts_are_the_rows_of_the_table(tmp_path, cache):
    frame = frame_of()
    for shard in range(3):
        tar(tmp_path / f"t-{shard}.tar", frame[40 * shard : 40 * shard + 40])
    raw = opened(str(tmp_path / "t-{0..2}.tar"), "train")
    assert raw.kind == "text" and isinstance(raw.inputs, DiskTexts) and len(raw.inputs) == 120
    assert raw.labels["main"].astype(int).tolist() == frame["label"].tolist()
    whole = raw.inputs.whole()
    assert whole["text"].tolist() == frame["text"].tolist()
    at = np.array([119, 3, 41, 3])
    assert raw.inputs.rows(at)["text"].tolist() == frame["text"].iloc[at].tolist()
    assert (row_keys("text", raw.inputs) == row_keys("text", frame[["text"]])).all()
    assert raw.inputs.nbytes == sum(path.stat().st_size for path in cache.glob("*/*.rows")) // 120 * 120


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_tables_and_data_sets_of_texts(tmp_path, cache, ending):
    frame = frame_of(60)
    write = {"csv": pd.DataFrame.to_csv, "parquet": pd.DataFrame.to_parquet, "jsonl": pd.DataFrame.to_json}[ending]
    options = {"orient": "records", "lines": True} if ending == "jsonl" else {"index": False}
    for shard in range(2):
        write(frame[30 * shard : 30 * shard + 30], tmp_path / f"t-{shard}.{ending}", **options)
    given = {
        "shards": str(tmp_path / ("t-{0..1}." + ending)),
        "iterable": datasets.Dataset.from_pandas(frame).to_iterable_dataset(),
    }
    for source in given.values():
        data = lb.Data(train=source, test=frame_of(20, seed=1), validation=frame_of(20, seed=2))
        assert data.train.kind == "text" and isinstance(data.train.inputs, DiskTexts)
        assert data.fingerprint == lb.Data(train=frame, test=frame_of(20, 1), validation=frame_of(20, 2)).fingerprint
        assert "good" in " ".join(data.texts())


def test_damaged_and_changed_texts_are_noticed(tmp_path, cache):
    for shard in range(2):
        tar(tmp_path / f"t-{shard}.tar", frame_of(30, seed=shard))
    pattern = str(tmp_path / "t-{0..1}.tar")
    opened(pattern)
    (path,) = cache.glob("*/part-000001.rows")
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    raw = opened(pattern)
    assert raw.inputs.rows([0])["text"].tolist() == [frame_of(30)["text"][0]]
    with pytest.raises(StoreDamaged, match=r"part-000001.rows to hold 30 rows .* not those that were written"):
        raw.inputs.rows([31])


def test_a_killed_stream_of_texts_goes_on(tmp_path, cache, monkeypatch):
    for shard in range(3):
        tar(tmp_path / f"t-{shard}.tar", frame_of(30, seed=shard))
    pattern, written = str(tmp_path / "t-{0..2}.tar"), spool.Spool._written
    whole = opened(Stream(pattern, cache=tmp_path / "whole")).inputs.whole()

    def killed(self, number, shard, batches):
        if number == 2:
            raise KeyboardInterrupt
        return written(self, number, shard, batches)

    monkeypatch.setattr(spool.Spool, "_written", killed)
    with pytest.raises(KeyboardInterrupt):
        opened(pattern)
    monkeypatch.setattr(spool.Spool, "_written", written)
    assert opened(pattern).inputs.whole().equals(whole)
    assert len(shards_of(pattern, "train")) == 3


def test_what_streams_of_texts_are_not_for(tmp_path, cache):
    frame = frame_of(40)
    pairs = frame.assign(other=frame["text"])[["text", "other", "label"]]
    test = pairs[:10].assign(text=pairs["text"][:10] + "!")
    for task in ("similarity", "retrieval", "generation"):
        given = pairs if task != "generation" else frame.assign(label=frame["text"])
        with pytest.raises(
            LimbeckError, match=f"texts in memory for the task {task}, got a stream as train"
        ) as refused:
            lb.Data(train=lambda given=given: iter([given]), test=test, task=task)
        assert "a label, labels or numbers for each text" in str(refused.value)
    words = pd.DataFrame({"tokens": [["a", "b"]] * 5})
    with pytest.raises(NotSupported, match="in the stream of unlabeled, got lists of words"):
        opened(lambda: iter([words]))
    other = [frame[["text"]], frame[["text"]].rename(columns={"text": "body"})]
    with pytest.raises(ConfigError, match="texts in text of unlabeled, as in the rows before, got body"):
        opened(lambda: iter(other))


def test_a_text_that_is_not_utf8_is_named(tmp_path, cache):
    with tarfile.open(tmp_path / "t-0.tar", "w") as file:
        for name, data in (("0.txt", b"fine"), ("1.txt", b"caf\xe9")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    with pytest.raises(ConfigError, match=r"1\.txt of .*t-0\.tar"):
        opened(str(tmp_path / "t-0.tar"))


def test_empty_texts_are_counted(tmp_path, cache):
    frame = frame_of(60)
    frame.loc[[3, 7], "text"] = "  "
    data = lb.Data(train=lambda: iter([frame]), test=frame_of(20, 1), validation=frame_of(20, 2))
    (found,) = [each for each in data.findings if each.code == "LB125"]
    assert "2 of 60 in train" in found.measured


def test_clips_and_series_of_different_lengths_are_refused_in_words(tmp_path, cache):
    with tarfile.open(tmp_path / "t-0.tar", "w") as file:
        info = tarfile.TarInfo("0.wav")
        info.size = 4
        file.addfile(info, io.BytesIO(b"RIFF"))
    with pytest.raises(ConfigError, match=r"texts in a stream, got the clip 0\.wav of .*t-0\.tar") as refused:
        opened(str(tmp_path / "t-0.tar"))
    assert "a folder or a table of files" in str(refused.value)
    clips = [{"audio": {"array": np.zeros(5), "sampling_rate": 8000}, "label": 0}]
    with pytest.raises(ConfigError, match="got the clip in column 'audio'"):
        opened(lambda: iter(clips))
    series = pd.DataFrame({"series": [list(range(9)), list(range(5))]})
    with pytest.raises(NotSupported, match="in the stream of unlabeled, got series of different lengths"):
        opened(lambda: iter([series]))
