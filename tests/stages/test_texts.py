"""Which texts an arm is trained on, which of the teacher's are left out, and what is refused before any work."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

import limbeck as lb
from limbeck.core.errors import ConfigError, LimbeckError, NotSupported, StoreMismatch
from limbeck.data.writing import WriteSpec
from limbeck.models.student import Student
from limbeck.models.text.seq2seq import Seq2SeqSpec
from limbeck.objectives import KD, parse
from limbeck.objectives.sequence.sequence_kd import written
from limbeck.signals import Signals
from limbeck.stages.arms import arms_of
from limbeck.stages.forced import Spoken, forced_for, forced_table, references
from limbeck.stages.forecast import seconds_a_step
from limbeck.stages.text_filters import drop_finding, kept_texts, length_bounds, ratio_of, repeated
from limbeck.stages.token_answers import store_tokens, stored_tokens
from limbeck.stages.writers import FunctionWriter
from limbeck.train.feed import Feed
from limbeck.transfer.frames import Frames
from limbeck.transfer.source import Live
from limbeck.transfer.store import Store

WORDS = ["red", "blue", "dog", "cat", "runs", "sits", "the", "a", "now", "old", "bird", "sings"]
SMALL = "seq2seq(d_model=8, layers=1, heads=2, ffn=8, vocabulary=80, max_length=24)"


def frame(count, seed):
    rng = np.random.default_rng(seed)
    sources = [" ".join(rng.choice(WORDS, 5)) for _ in range(count)]
    return pd.DataFrame({"source": sources, "target": [text.upper() for text in sources]})


@pytest.fixture(scope="module")
def data():
    train = frame(40, 0)
    train.loc[[1, 2], "target"] = None
    return lb.Data(
        train=train, unlabeled=pd.DataFrame({"source": frame(6, 3)["source"]}), validation=frame(10, 1),
        test=frame(10, 2),
    )  # fmt: skip


def student_of(data, what=SMALL):
    return Student.of(what, (), {"main": 0}, kinds={"main": "generation"}, texts=data.texts)


# ------------------------------------------------------------------------------------------------- tables


def pool_of(data):
    from limbeck.data.rows import Rows

    return Rows.concat([data.train, data.unlabeled])


@pytest.mark.parametrize(
    ("objective", "gold", "taught", "more"),
    [
        ("SequenceKD", 0, 37, 8),
        ("CE + SequenceKD", 38, 37, 8),
        ("CE + KD(temperature=1)", 38, 0, 8),
        ("0.5 * CE + 0.5 * SequenceKD + KD(temperature=1)", 38, 37, 8),
    ],
)
def test_the_objective_decides_on_which_texts_an_arm_is_trained(data, objective, gold, taught, more):
    pool = pool_of(data)
    kept = np.ones(len(pool), dtype=bool)
    kept[0] = False  # a text that a rule dropped
    spoken = Spoken(np.array([f"text {row}" for row in range(len(pool))], dtype=object), kept)
    arms = {arm.name: arm for arm in arms_of(parse(objective), data.tasks, unlabeled=True, attribution=True)}
    found, labelled = forced_for(arms["student"], pool, "main", spoken)
    assert labelled == gold + taught and len(found) == labelled + more
    assert found.by_teacher.sum() == taught + more
    control, rows = forced_for(arms["control"], pool, "main", spoken)
    assert (len(control), rows, control.by_teacher.sum()) == (38, 38, 0)
    pseudo, rows = forced_for(arms["pseudo"], pool, "main", spoken)
    assert (len(pseudo), rows, pseudo.by_teacher.sum()) == (38 + more, 38, 0)  # as if they were references
    assert len(forced_for(arms["soft"], pool, "main", spoken)[0]) == labelled


def test_a_table_has_each_text_under_the_loss_that_it_is_for(data):
    pool, student = pool_of(data), student_of(data)
    texts = np.array(["red dog"] * len(pool), dtype=object)
    arm = arms_of(parse("CE + SequenceKD"), data.tasks, unlabeled=True, attribution=False)[0]
    forced, _ = forced_for(arm, pool, "main", Spoken(texts, np.ones(len(pool), dtype=bool)))
    table = forced_table(pool, forced, "main", student)
    gold, taught = table.label_mask["main"], table.label_mask[written("main")]
    assert not (gold & taught).any()
    for row, text in enumerate(forced.texts):
        mask = (taught if forced.by_teacher[row] else gold)[row]
        assert student.encoder.tokenizer.decode(table.targets["main"][row][mask], skip_special_tokens=True) == text
    alone = forced_table(pool, references(pool, "main"), "main", student)
    assert written("main") not in alone.targets


@pytest.mark.parametrize("objective", ["SequenceKD", "CE + SequenceKD"])
def test_a_term_without_any_text_of_the_teacher_left_is_refused(data, objective):
    pool = pool_of(data)
    arm = arms_of(parse(objective), data.tasks, unlabeled=False, attribution=False)[0]
    none = Spoken(np.full(len(pool), "", dtype=object), np.zeros(len(pool), dtype=bool), {"empty": 30, "repetition": 8})
    match = r"for 38 labelled rows, the rules of `writing` dropped all \(30 by empty, 8 by repetition\)"
    with pytest.raises(ConfigError, match=match):
        forced_for(arm, pool, "main", none)


def test_losses_of_classes_without_positions_are_no_losses_of_texts(data):
    arms_of(parse("CE + DKD"), data.tasks, unlabeled=False, attribution=False)
    with pytest.raises(ConfigError, match="expected a multilabel task, 'main' is generation"):
        arms_of(parse("CE + BernoulliKD"), data.tasks, unlabeled=False, attribution=False)
    words = lb.Data(train=pd.DataFrame({"text": frame(40, 0)["source"], "label": ["a", "b"] * 20}))
    with pytest.raises(ConfigError, match="expected a generation task, 'main' is classification"):
        arms_of(parse("SequenceKD"), words.tasks, unlabeled=False, attribution=False)


# ------------------------------------------------------------------------------------------------ filters


def test_every_rule_drops_what_it_is_for_and_counts_it():
    said = ["a b c d", "", "a", "a b a b a b a b a b", "a b c d", "x y z"]
    logprobs = np.array([-0.1, -0.1, -0.1, -0.1, -9.0, -0.1])
    sources = ["w x y z"] * 6
    gold = ["a b c d"] * 5 + [None]
    rules = WriteSpec(length_ratio=(0.4, 3.0), repetition=0.5, min_logprob=-2.0, min_similarity=0.3)
    kept, drops = kept_texts(said, logprobs, sources, gold, rules)
    assert kept.tolist() == [True, False, False, False, False, True]
    assert drops == {"empty": 1, "length_ratio": 1, "repetition": 1, "min_logprob": 1}
    assert kept_texts(["q r s t"], logprobs[:1], sources[:1], gold[:1], rules)[1] == {"min_similarity": 1}
    free = WriteSpec(length_ratio=None, repetition=None)
    assert kept_texts(said, logprobs, sources, gold, free)[1] == {"empty": 1}
    assert repeated("a b a b a b") == pytest.approx(3 / 5) and repeated("one") == 0.0


def test_bounds_of_length_come_from_the_references_that_are_known():
    auto, sources = WriteSpec(), ["x" * 100] * 30
    gold = ["y" * 10] * 30
    assert length_bounds(sources, gold, auto) == pytest.approx((0.05, 0.2))
    assert length_bounds(sources, [*gold[:19], *[None] * 11], auto) is None  # too few to say
    assert length_bounds(sources, gold, WriteSpec(length_ratio=(0.5, 2.0))) == (0.5, 2.0)
    kept, drops = kept_texts(["y" * 12, "y" * 30, "y" * 4], np.zeros(3), sources[:3] * 10, gold, auto)
    assert kept.tolist() == [True, False, False] and drops == {"length_ratio": 2}  # a short summary is no fault
    assert ratio_of(" 你好吗 ", "how are") == pytest.approx(3 / 7)  # in characters: not every language has spaces


def test_what_was_dropped_is_said():
    assert drop_finding({}, 10) is None
    some, many = drop_finding({"repetition": 1}, 10), drop_finding({"empty": 2, "repetition": 1}, 10)
    assert (some.code, some.grade, many.grade) == ("LB209", "note", "tip")
    assert many.measured == "3 of 10 texts: 2 by empty, 1 by repetition"


# ----------------------------------------------------------------------------------------------- refusals


def run(teacher, data, folder, student=SMALL, **more):
    return lb.distill(teacher, student, data, train=1, teacher_train=1, out=folder, **more)


def test_exports_that_cannot_be_are_refused_in_words(data, tmp_path):
    with pytest.raises(
        ConfigError, match=r"no int8 of a student that writes texts \(seq2seq\(.*\), limbeck makes none"
    ):
        lb.distill(SMALL, SMALL, data, int8=True, out=tmp_path / "r")
    with pytest.raises(ConfigError, match="test_beams: 1 for an exported student, which searches greedily, got 2"):
        lb.distill(SMALL, SMALL, data, onnx=True, writing=WriteSpec(test_beams=2), out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_settings_of_numbers_are_refused_for_texts_all_at_once(data, tmp_path):
    viewed = copy.copy(data)
    viewed.view = lambda row, generator: row
    with pytest.raises(ConfigError) as caught:
        run(SMALL, viewed, tmp_path / "r", codec="fp32")
    assert caught.value.what == "the run has 2 problems"
    assert "codec: expected auto for a task that writes texts, got fp32; leave it out: texts are" in caught.value.todo
    assert "data.view: expected none for a task that writes texts, got one; leave view and views" in caught.value.todo
    assert not (tmp_path / "r").exists()


def test_settings_of_texts_are_refused_for_numbers(tmp_path):
    x, y = np.eye(12, dtype=np.float32), np.arange(12) % 2
    rows = lb.Data(train=(x, y), validation=(x + 0.1, y), test=(x + 0.5, y))
    with pytest.raises(ConfigError) as caught:
        lb.distill("linear", "linear", rows, writing=WriteSpec(beams=2, topk=4), out=tmp_path / "r")
    words = "writing: expected none for a task that writes no texts, got beams 2, topk 4; leave it out"
    assert words in caught.value.todo
    assert not (tmp_path / "r").exists()
    done = lb.distill(
        "linear", "linear", rows, writing=WriteSpec(), train=1, seeds=1, until="train", onnx=False, ignore=("LB201",),
        out=tmp_path / "r",
    )  # fmt: skip
    assert done.folder == tmp_path / "r", "a default that is left alone is no problem"


def test_a_classifier_is_no_teacher_of_texts(data, tmp_path):
    config = transformers.BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(ConfigError, match=r"expected a model that writes texts \(encoder and decoder\), got bert at"):
        run(f"hf:{tmp_path / 'bert'}", data, tmp_path / "r")
    with pytest.raises(ConfigError, match="a network that writes texts for the generation task 'main', got linear"):
        run("linear", data, tmp_path / "r")
    with pytest.raises(ConfigError, match="expected a teacher that writes texts, got Linear"):
        run(torch.nn.Linear(2, 2), data, tmp_path / "r")
    with pytest.raises(ConfigError, match="one network that writes texts as the teacher, got 3 members"):
        run(SMALL, data, tmp_path / "r", members=3)
    assert not (tmp_path / "r").exists()


def test_another_vocabulary_is_refused_token_by_token_alone(data, tmp_path):
    other = SMALL.replace("vocabulary=80", "vocabulary=70")
    with pytest.raises(ConfigError, match=r"share a vocabulary for KD, .* got \d+ and \d+ tokens that differ"):
        run(other, data, tmp_path / "r", objective="CE + KD(temperature=1)")
    with pytest.raises(NotSupported, match="a teacher with logits for KD, got a function that only writes texts"):
        run(lambda texts: texts, data, tmp_path / "r", objective="CE + KD(temperature=1)")
    with pytest.raises(ConfigError, match="expected a temperature as a number for texts, got auto"):
        run(SMALL, data, tmp_path / "r", objective="CE + KD(temperature='auto')")
    assert not (tmp_path / "r").exists()


def test_a_teacher_that_only_copies_is_refused(data, tmp_path):
    with pytest.raises(ConfigError, match=r"that knows the task, its bleu on 10 validation rows is 0\.000"):
        run(lambda texts: texts, data, tmp_path / "r", seeds=1)


def test_labelling_alone_is_not_for_texts(data, tmp_path):
    with pytest.raises(NotSupported, match=r"a task whose answers are numbers for lb\.label, got generation"):
        lb.label(lambda texts: texts, data, out=tmp_path / "r")


def test_a_step_is_timed_with_the_texts_that_are_written(data):
    assert seconds_a_step(student_of(data), data, lb.TrainSpec(batch_size=4)) > 0


def test_a_function_that_gives_no_texts_is_told_so():
    with pytest.raises(LimbeckError, match="to give one text for each of 2 sources, got 1 answers"):
        FunctionWriter(lambda texts: texts[:1]).write(["a", "b"], None, 0)


def test_a_network_made_here_and_one_handed_in_share_a_vocabulary(data):
    student = student_of(data)
    teacher = Seq2SeqSpec.parse(SMALL.replace("8", "16").replace("160", "80")).encoder(data.texts)
    from limbeck.stages.writers import same_vocabulary

    assert same_vocabulary(teacher, student)


# --------------------------------------------------------------------------------- answers token by token


def test_stored_tokens_give_the_loss_of_the_teacher_beside_the_student(data, tmp_path):
    student = student_of(data)
    teacher, pool = student_of(data, SMALL.replace("d_model=8", "d_model=12")).build(5).eval(), pool_of(data)
    texts = Spoken(np.array([f"red dog {'now ' * (n % 5)}" for n in range(len(pool))]), np.ones(len(pool), dtype=bool))
    forced = references(pool, "main").followed_by(texts.at(np.arange(len(pool))))
    size = len(student.encoder.tokenizer)
    table = forced_table(pool, forced, "main", student, stored=True)
    live = forced_table(pool, forced, "main", student, live=True)
    places = np.array([0, 3, 50, 60, 1])
    batch, beside = (Feed.of(t, labelled=len(t), batch_size=4, seed=0).take(places) for t in (table, live))
    module = student.build(0).eval()
    with torch.no_grad():
        logits = module(batch.student_inputs)
    said = Signals({"main": logits}, mask=module.mask(batch.student_inputs))
    running = Live(teacher, data.tasks, output="logits", units="training").answer(beside)
    loss = KD(temperature=2.0)
    found = {}
    for topk in (size, 4):
        store_tokens(teacher, student, pool, forced, "main", tmp_path / str(topk), "t", topk)
        source = stored_tokens(tmp_path / str(topk), student, "main")
        assert source.store.outputs["main"].codec.exactness == "biased"
        found[topk] = loss.loss(said, source.answer(batch), batch, None)
    whole = loss.loss(said, running, beside, None)
    assert [float(count) for _, count in found.values()] == [float(whole[1])] * 2 == [float(said.mask.sum())] * 2
    assert float(found[size][0]) == pytest.approx(float(whole[0]), rel=2e-2)
    assert float(found[4][0]) < float(whole[0])
    with pytest.raises(StoreMismatch, match="label again with these tasks into a new folder"):
        stored_tokens(tmp_path / "4", student_of(data, SMALL.replace("vocabulary=80", "vocabulary=70")), "main")


def test_a_loss_on_all_tokens_is_refused_with_stored_ones(data, tmp_path):
    with pytest.raises(ConfigError, match="losses that take the most probable tokens alone with topk: 4, got LOGITMSE"):
        run(SMALL, data, tmp_path / "r", objective="CE + LogitMSE", writing=WriteSpec(topk=4))


def test_a_run_with_stored_tokens_asks_the_teacher_once(data, tmp_path):
    writing = WriteSpec(topk=6, beams=1)
    done = run(
        SMALL, data, tmp_path / "r", objective="CE + SequenceKD + KD(temperature=1)", writing=writing, seeds=1,
        ignore=("LB201",), attribution=False,
    )  # fmt: skip
    tokens = Store(tmp_path / "r" / "transfer" / "tokens")
    assert tokens.outputs["main"].codec == Frames("float16", 6) and len(tokens) >= len(data.train)
    assert done.scorecard["tasks"]["main"]["kind"] == "generation"
    assert lb.load(tmp_path / "r").status == "done"
