"""Networks that write texts: two blocks in a row, masks of the target, a vocabulary learned from texts."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
import transformers

from limbeck.core.errors import ConfigError
from limbeck.models.fingerprint import module_hash
from limbeck.models.saved import load, save
from limbeck.models.student import Student
from limbeck.models.surgery import keep_layers
from limbeck.models.text.decoding import Decoding, Writing, mean_logprobs, write
from limbeck.models.text.pairs import PairEncoder, sources_of, targets_of
from limbeck.models.text.seq2seq import Seq2SeqNetwork, Seq2SeqSpec
from limbeck.models.text.subwords import SubWords
from limbeck.objectives import CE, KD, SequenceKD
from limbeck.objectives.sequence.sequence_kd import written
from limbeck.signals import Batch, Signals

SOURCES = ["the red dog runs now", "a cat sits", "the old bird", "a dog"]
TARGETS = ["jetzt rennt der rote hund", "eine katze", "der alte vogel singt", "hund"]
TEXTS = (SOURCES + TARGETS) * 4
NAME = "seq2seq(d_model=16, layers=2, heads=2, ffn=32, vocabulary=80, max_length=24, dropout=0.0)"


@pytest.fixture(scope="module")
def network():
    student = Student.of(NAME, (), {"main": 0}, kinds={"main": "generation"}, texts=lambda: TEXTS)
    return student.build(0).eval()


@pytest.fixture(scope="module")
def taught(network, rows):
    """A network that has learned these few pairs, so that its texts differ."""
    module = copy.deepcopy(network).train()
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    ids, mask = targets_of(rows)
    for _ in range(60):
        torch.nn.functional.cross_entropy(module(rows)[mask], ids[mask]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return module.eval()


@pytest.fixture(scope="module")
def rows(network):
    return torch.from_numpy(network.encoder.pairs(SOURCES, TARGETS))


def test_a_row_holds_source_and_target_with_their_ends(network, rows):
    tokenizer = network.encoder.tokenizer
    for block, texts in ((sources_of(rows, 0), SOURCES), (targets_of(rows, 0), TARGETS)):
        ids, mask = block
        for row, there, text in zip(ids, mask, texts, strict=True):
            assert row[there].tolist() == tokenizer(text)["input_ids"]
            assert row[there][-1] == tokenizer.eos_token_id
            assert tokenizer.decode(row[there], skip_special_tokens=True) == text


def test_a_missing_target_is_none_and_an_empty_one_is_its_end(network):
    rows = torch.from_numpy(network.encoder.pairs(SOURCES[:3], ["hund", None, ""]))
    ids, mask = targets_of(rows)
    assert mask.sum(1).tolist()[1:] == [0, 1]
    assert ids[2, 0] == network.encoder.tokenizer.eos_token_id
    assert network(rows).shape[:2] == mask.shape


def padded(rows, left, right):
    return torch.nn.functional.pad(rows, (left, right), value=-1)


@pytest.mark.parametrize(("left", "right"), [(0, 9), (9, 0), (3, 4)])
def test_length_and_side_of_the_padding_change_nothing(network, rows, left, right):
    moved = padded(rows, left, right)
    assert torch.equal(network.mask(rows), network.mask(moved))
    torch.testing.assert_close(network(rows), network(moved))


def test_rows_beside_it_change_no_row(network, rows):
    whole, mask = network(rows), network.mask(rows)
    for row in range(len(rows)):
        alone = network(rows[row : row + 1])
        torch.testing.assert_close(whole[row][mask[row]], alone[0][: int(mask[row].sum())], rtol=1e-4, atol=1e-5)


def test_a_logit_sees_the_target_before_it_and_nothing_after(network, rows):
    before, mask = network(rows), network.mask(rows)
    changed = rows.clone()
    last = int((rows[0] >= 0).nonzero()[-1])
    changed[0, last] = (1 << 24) | 5  # another last token
    after = network(changed)
    torch.testing.assert_close(before[mask], after[mask])
    changed[0, last - 1] = (1 << 24) | 5
    moved = network(changed)[0] - before[0]
    place = int(mask[0].sum()) - 1
    assert moved[place].abs().max() > 1e-4 and moved[:place].abs().max() < 1e-6


@torch.no_grad()
def forced(network, rows, teacher=None):
    """The batch of rows with the signals of both sides, as the loop makes them."""
    ids, mask = targets_of(rows)
    wide = torch.nn.functional.pad(ids, (0, 3)), torch.nn.functional.pad(mask, (0, 3))  # a table is as wide as its data
    batch = Batch(np.zeros((len(rows), 2), np.uint64), targets={"main": wide[0]}, label_mask={"main": wide[1]})
    said = None if teacher is None else Signals({"main": teacher(rows)}, mask=teacher.mask(rows))
    return Signals({"main": network(rows)}, mask=network.mask(rows)), said, batch


def test_cross_entropy_is_the_sum_over_tokens_of_the_target_and_their_ends(network, rows):
    student, _, batch = forced(network, rows)
    total, count = CE().loss(student, None, batch, None)
    lengths = [len(network.encoder.tokenizer(text)["input_ids"]) for text in TARGETS]
    assert float(count) == sum(lengths) == float(CE().count(None, batch))
    likely = mean_logprobs(network, rows)
    assert float(total.detach()) == pytest.approx(-float(np.dot(likely, lengths)), rel=1e-4)


def test_the_end_of_a_text_counts(network, rows):
    shorter = rows.clone()
    shorter[0, int((rows[0] >= 0).nonzero()[-1])] = -1
    whole, cut = (CE().loss(s, None, b, None) for s, _, b in (forced(network, rows), forced(network, shorter)))
    assert float(whole[1]) == float(cut[1]) + 1 and float(whole[0]) > float(cut[0])


def test_parts_of_a_batch_add_up(network, rows):
    torch.manual_seed(1)
    teacher = Seq2SeqSpec.parse(NAME).build(network.encoder, "main").eval()
    for loss in (CE(), KD(temperature=2.0)):
        totals = [loss.loss(s, t, b, None) for s, t, b in (forced(network, part, teacher) for part in rows.split(1))]
        whole = loss.loss(*forced(network, rows, teacher), None)
        assert float(sum(count for _, count in totals)) == float(whole[1])
        assert float(sum(total for total, _ in totals)) == pytest.approx(float(whole[0]), rel=1e-4)
        assert float(whole[1]) == float(network.mask(rows).sum())


def test_the_texts_of_the_teacher_and_the_references_have_losses_of_their_own(network, rows):
    student, _, batch = forced(network, rows)
    mine = torch.tensor([True, True, False, False])[:, None]
    ids, mask = batch.targets["main"], batch.label_mask["main"]
    split = dataclasses.replace(
        batch, targets={"main": ids, written("main"): ids},
        label_mask={"main": mask & mine, written("main"): mask & ~mine},
    )  # fmt: skip
    both = CE().loss(student, None, batch, None)
    parts = CE().loss(student, None, split, None), SequenceKD().loss(student, None, split, None)
    for place in range(2):
        assert float(parts[0][place] + parts[1][place]) == pytest.approx(float(both[place]), rel=1e-5)
    assert float(SequenceKD().count(None, split)) == float(parts[1][1])


def test_transformers_loads_what_is_saved_and_writes_the_same(taught, tmp_path):
    save(taught, tmp_path / "kept")
    back = load(tmp_path / "kept")
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "kept").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "kept")
    mine = write(back, torch.from_numpy(back.encoder.encode(SOURCES)), Decoding(max_length=16))
    assert mine == TARGETS
    for text, own in zip(SOURCES, mine, strict=True):
        made = theirs.generate(**tokenizer([text], return_tensors="pt"), max_new_tokens=16, do_sample=False)
        assert tokenizer.decode(made[0], skip_special_tokens=True).strip() == own


def test_what_a_network_is_does_not_depend_on_where_it_was_read_from(taught, tmp_path):
    before = module_hash(taught)
    save(taught, tmp_path / "kept")
    assert module_hash(load(tmp_path / "kept")) == before == module_hash(taught)


@pytest.mark.parametrize("beams", [1, 3])
def test_texts_do_not_depend_on_the_rows_beside_them(taught, beams):
    network = taught
    sources = torch.from_numpy(network.encoder.encode(SOURCES))
    how = Decoding(beams=beams, max_length=16)
    whole = write(network, sources, how)
    assert len(set(whole)) == len(whole)
    assert whole == [write(network, sources[row : row + 1], how)[0] for row in range(len(sources))]
    assert whole == write(network, sources, dataclasses.replace(how, tokens=8))


def test_a_network_writes_for_plain_texts(taught):
    assert taught.write(SOURCES, max_length=16) == TARGETS
    rows = torch.from_numpy(taught.encoder.encode(SOURCES))
    assert taught.write(SOURCES, beams=2, max_length=9) == write(taught, rows, Decoding(beams=2, max_length=9))


def test_drawn_texts_are_those_of_their_seed(network):
    sources, how = torch.from_numpy(network.encoder.encode(SOURCES)), Decoding(temperature=1.0, max_length=10)
    assert write(network, sources, how, 1) == write(network, sources, how, 1) != write(network, sources, how, 2)


def test_what_is_measured_is_writing(network):
    sources = torch.from_numpy(network.encoder.encode(SOURCES))
    made = Writing(network, Decoding(max_length=5))(sources)
    assert made.shape[0] == len(SOURCES) and 1 < made.shape[1] <= 6


def test_a_vocabulary_is_the_same_each_time_and_may_be_lower_cased():
    first, second = (SubWords(80, lower=True).learn(TEXTS) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    assert first("The RED dog")["input_ids"] == first("the red dog")["input_ids"]
    assert SubWords(80).learn(["The Dog"] * 3)("The Dog")["input_ids"] != first("the dog")["input_ids"]
    assert first.convert_ids_to_tokens([0, 1, 2]) == ["<pad>", "</s>", "<unk>"]


def test_a_student_is_the_same_for_a_seed_and_may_borrow_a_tokenizer(network, tmp_path):
    student = Student.of(NAME, (), {"main": 0}, kinds={"main": "generation"}, texts=lambda: TEXTS)
    again, other = student.build(0), student.build(1)
    assert torch.equal(again.model.lm_head.weight, network.model.lm_head.weight)
    assert not torch.equal(other.model.lm_head.weight, network.model.lm_head.weight)
    save(network, tmp_path / "kept")
    borrowed = Student.of(
        f"seq2seq(d_model=8, layers=1, heads=2, ffn=8, tokenizer='{tmp_path / 'kept'}')", (), {"main": 0},
        kinds={"main": "generation"},
    ).build(0)  # fmt: skip
    assert borrowed.vocabulary == network.vocabulary


def test_layers_of_a_teacher_make_a_student(network, rows):
    small = Seq2SeqNetwork(keep_layers(network.model, encoder=1, decoder=[0]), network.encoder, "main").eval()
    assert len(small.model.model.encoder.layers) == len(small.model.model.decoder.layers) == 1
    assert small(rows).shape == network(rows).shape
    student = Student.of(small, (), {"main": 0}, kinds={"main": "generation"})
    assert student.pretrained and student.build(3).vocabulary == network.vocabulary


def of_marian(folder, network):
    config = transformers.MarianConfig(
        vocab_size=len(network.encoder.tokenizer), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, pad_token_id=0,
        eos_token_id=1, decoder_start_token_id=0, forced_eos_token_id=None, max_position_embeddings=32,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.MarianMTModel(config).save_pretrained(folder)
    network.encoder.tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_pretrained_model_comes_from_its_folder_and_goes_back(network, rows, tmp_path):
    folder = of_marian(tmp_path / "marian", network)
    student = Student.of(f"hf:{folder}", (), {"main": 0}, kinds={"main": "generation"})
    module = student.build(0).eval()
    assert student.pretrained and module.vocabulary == network.vocabulary
    save(module, tmp_path / "kept")
    torch.testing.assert_close(load(tmp_path / "kept")(rows), module(rows))


def test_texts_longer_than_the_most_tokens_are_cut_and_end(network):
    encoder = PairEncoder(network.encoder.tokenizer, 6)
    rows = torch.from_numpy(encoder.pairs([" ".join(SOURCES)], [" ".join(TARGETS)]))
    for ids, mask in (sources_of(rows, 0), targets_of(rows)):
        assert int(mask.sum()) == 6 and int(ids[0, -1]) == encoder.tokenizer.eos_token_id


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("seq2seq(width=3)", r"expected a setting of seq2seq, got 'width'"),
        ("seq2seq(64)", r"expected seq2seq\(d_model=128, layers=3, \.\.\.\) with settings by name, got seq2seq\(64\)"),
        ("seq2seq(d_model=30, heads=4)", "an even d_model that is a multiple of heads, got 30 and 4"),
        ("seq2seq(layers='two')", "expected layers of seq2seq to be of type int, got 'two'"),
        ("seq2seq(vocabulary=10)", "expected a vocabulary of at least 64 sub-words, got 10"),
        ("mlp(hidden=[8])", r"a network that writes texts for the generation task 'main', got mlp\(hidden=\[8\]\)"),
    ],
)
def test_names_that_are_refused(what, text):
    with pytest.raises(ConfigError, match=text):
        Student.of(what, (), {"main": 0}, kinds={"main": "generation"}, texts=lambda: TEXTS)


def test_a_classifier_is_no_network_that_writes(tmp_path):
    config = transformers.BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"expected a model that writes texts \(encoder and decoder\), got bert at"):
        Student.of(f"hf:{tmp_path}", (), {"main": 0}, kinds={"main": "generation"})


def test_without_texts_there_is_no_vocabulary():
    with pytest.raises(ConfigError, match="expected training texts to learn the vocabulary of seq2seq"):
        Student.of("seq2seq", (), {"main": 0}, kinds={"main": "generation"})


def test_a_pretrained_writer_takes_longer_texts_where_its_positions_allow_it(network, tmp_path):
    network.files(tmp_path, {})
    kinds = {"main": "generation"}
    cut = Student.of(f"hf:{tmp_path} | max_length(6)", (), {"main": 0}, kinds=kinds)
    assert cut.encoder.max_length == 6 and cut.build(0).encoder.encode([" ".join(SOURCES)]).shape[1] == 6
    layers = Student.of(
        f"hf:{tmp_path} | keep_layers(encoder=1, decoder=1) | max_length(26)", (), {"main": 0}, kinds=kinds
    )
    assert layers.encoder.max_length == 26  # the tokenizer says 24, the model has 26 positions
    with pytest.raises(ConfigError, match="a max_length of at most 26, got 27"):
        Student.of(f"hf:{tmp_path} | max_length(27)", (), {"main": 0}, kinds=kinds)
