"""Chains of steps on sentence networks and on networks that write: what they give, keep, and refuse."""

import e2e_text_models as tiny
import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.models.saved import load, save
from limbeck.models.student import Student
from limbeck.models.taps import run
from limbeck.models.text.chain import Chain
from limbeck.models.text.ground import Ground
from limbeck.models.text.sentences import SentenceNetwork
from limbeck.models.text.seq2seq import Seq2SeqNetwork

TEXTS = tiny.texts(40, 0)["sentence"].tolist()
PAIRS = pd.DataFrame({"first": TEXTS, "second": TEXTS[::-1]})
GROUND = Ground(lambda: PAIRS)
SIMILAR, WRITES = {"main": "similarity"}, {"main": "generation"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write("bert", tmp_path_factory.mktemp("bert")).removeprefix("hf:")


@pytest.fixture(scope="module")
def network(folder):
    return SentenceNetwork.load(folder).eval()


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """The folder of a small encoder-decoder, two layers each."""
    text = "seq2seq(d_model=16, layers=2, heads=2, ffn=16, vocabulary=64, max_length=12, dropout=0.0)"
    made = Student.of(text, (), {"main": 0}, kinds=WRITES, texts=lambda: TEXTS)
    where = tmp_path_factory.mktemp("writer")
    save(made.build(0), where, source=made)
    return str(where)


def similar(text, ground=GROUND):
    return Student.of(text, (), {"main": 0}, kinds=SIMILAR, ground=ground)


def writes(text, ground=GROUND):
    return Student.of(text, (), {"main": 0}, kinds=WRITES, ground=ground)


def rows_of(network, count=5):
    return torch.from_numpy(network.encoder.encode(PAIRS.iloc[:count]))


CHAINS = [  # steps, width of an embedding, length of a text, whether it is fine-tuned
    ("keep_layers(2) | max_length(16)", 32, 16, True),
    ("keep_layers(1, how='importance') | vocabulary(60)", 32, 40, True),
    ("shrink(width=16, heads=1)", 16, 40, True),
    ("vocabulary(60) | static(dim=8)", 8, 40, False),
    ("keep_layers(2) | static(dim=8) | max_length(5)", 8, 5, False),
]


@pytest.mark.parametrize("base", ["st", "hf"])
@pytest.mark.parametrize("steps, width, length, tuned", CHAINS)
def test_a_chain_gives_a_sentence_network_that_loads_everywhere(folder, base, steps, width, length, tuned, tmp_path):
    made = similar(f"{base}:{folder} | {steps}")
    network = made.build(0).eval()
    assert isinstance(network, SentenceNetwork)
    assert (network.width, network.encoder.max_length, made.fine_tunes) == (width, length, tuned)
    assert made.kind == "derived" and made.describe()["parameters"] == sum(p.numel() for p in network.parameters())
    said = network(rows_of(network))
    save(network, tmp_path, source=made)
    back = load(tmp_path)
    assert (back.encoder.max_length, back.encoder.fingerprint) == (length, made.encoder.fingerprint)
    torch.testing.assert_close(back(rows_of(back)), said)
    theirs = SentenceTransformer(str(tmp_path)).encode(PAIRS["second"].tolist()[:5])
    np.testing.assert_allclose(theirs, said[:, width:].detach(), atol=1e-5)


def test_equal_chains_are_equal_students_in_every_seed(folder):
    text = f"st:{folder} | vocabulary(60) | static(dim=8)"
    first, again = similar(text), similar(text)
    assert (
        first.fingerprint == again.fingerprint != similar(f"st:{folder} | vocabulary(61) | static(dim=8)").fingerprint
    )
    for key, value in first.build(0).state_dict().items():
        assert torch.equal(value, again.build(7).state_dict()[key])


def test_a_tokenizer_that_was_used_has_the_fingerprint_that_it_had(folder):
    student = similar(f"st:{folder} | max_length(9)")
    before = student.encoder.fingerprint
    student.encoder.tokenizer(TEXTS, truncation=True, max_length=3, padding=True)
    assert student.encoder.fingerprint == before
    assert similar(f"st:{folder} | max_length(8)").encoder.fingerprint != before


def test_a_taught_teacher_is_what_a_chain_without_a_base_is_made_of(network):
    made = similar("keep_layers(1)", Ground(lambda: PAIRS, lambda: network, "x"))
    taught = lb.keep_layers(network, 3)
    with torch.no_grad():
        taught.model[0].model.encoder.layer[0].output.dense.bias.fill_(0.25)
    name = "model.0.model.encoder.layer.0.output.dense.bias"
    assert made.wants_teacher and not (made.build(0).state_dict()[name] == 0.25).any()
    assert (made.taught_by(taught).build(0).state_dict()[name] == 0.25).all()


def test_functions_take_sentence_networks_and_sentence_transformers(folder, network):
    whole = lb.keep_layers(network, [0, 1, 2]).eval()
    torch.testing.assert_close(whole(rows_of(whole)), network(rows_of(network)))
    short = lb.keep_layers(SentenceTransformer(folder), 1)
    assert isinstance(short, SentenceNetwork) and len(short.model[0].model.encoder.layer) == 1
    assert lb.static_embeddings(SentenceTransformer(folder), 8, texts=TEXTS).width == 8
    assert lb.shrink(network, width=16, heads=1, texts=TEXTS).width == 16
    assert len(lb.shrink_vocabulary(network, 60, TEXTS).encoder.tokenizer) == 60
    with pytest.raises(
        ConfigError, match=r"expected static without hidden layers and dropout .* got static\(dim=8, hid"
    ):
        lb.static_embeddings(network, 8, hidden=[4])


@pytest.mark.parametrize("text", ["bag_of_words(dim=4)", "text_cnn", "frozen", "hf:x | frozen"])
def test_steps_without_embeddings_are_refused_before_anything_is_read(text):
    with pytest.raises(ConfigError, match="expected a student that embeds texts for a task on embeddings, got"):
        similar(text)


def test_chains_that_do_not_fit_are_refused(folder, network):
    other = Ground(lambda: PAIRS, lambda: None, "a table")
    with pytest.raises(
        ConfigError, match=r"a teacher that is a sentence network for the student keep_layers\(2\), got a t"
    ):
        similar("keep_layers(2)", other)
    with pytest.raises(ConfigError, match="expected a max_length of at most 40, got 41"):
        similar(f"st:{folder} | max_length(41)")
    with pytest.raises(
        ConfigError, match="expected a dim of at most 32, the width of the encoder or its number of tok"
    ):
        similar(f"st:{folder} | static(dim=33)")
    with pytest.raises(ConfigError, match="expected a teacher with an encoder, got static embeddings"):
        static = lb.static_embeddings(network, 8)
        similar("keep_layers(1)", Ground(lambda: PAIRS, lambda: static, "x"))
    with pytest.raises(ConfigError, match=r"expected a task on embeddings .* for st:.*, got main \(classification\)"):
        Student.of(f"st:{folder} | keep_layers(1)", (), {"main": 2})
    with pytest.raises(ConfigError, match="expected a folder or a name after st:, got nothing"):
        Chain.parse("st: | keep_layers(1)")


def test_taps_hold_both_texts_of_a_row_as_the_mask_says(network):
    table = pd.DataFrame({"first": TEXTS[:4], "second": [TEXTS[7], "", TEXTS[5], ""]})
    rows = torch.from_numpy(network.encoder.encode(table))
    with torch.no_grad():
        taps = run(network, rows, ("hidden.0", "hidden.3")).taps
        mask = network.mask(rows)
        assert taps["hidden.3"].shape == (*mask.shape, 32) and set(network.tap_paths) >= {"hidden.3", "query.1"}
        for row, text in ((0, TEXTS[7]), (2, TEXTS[5])):
            alone = (
                torch.from_numpy(network.encoder.encode([TEXTS[row]])),
                torch.from_numpy(network.encoder.encode([text])),
            )
            apart = torch.cat([run(network, one, ("hidden.3",)).taps["hidden.3"][0] for one in alone])
            torch.testing.assert_close(taps["hidden.3"][row][mask[row]], apart, atol=1e-5, rtol=1e-5)
        single = torch.from_numpy(network.encoder.encode(TEXTS[:4]))
        assert mask[1].sum() == network.mask(single)[1].sum()
        taps_alone = run(network, single, ("hidden.3",)).taps["hidden.3"][1][network.mask(single)[1]]
        torch.testing.assert_close(taps_alone, taps["hidden.3"][1][mask[1]], atol=1e-5, rtol=1e-5)


def test_layers_of_a_network_that_writes_are_kept_and_load_in_transformers(writer, tmp_path):
    made = writes(f"hf:{writer} | keep_layers(encoder=1, decoder=1)")
    network = made.build(0).eval()
    assert isinstance(network, Seq2SeqNetwork) and made.kind == "derived" and made.fine_tunes
    assert (network.model.config.encoder_layers, network.model.config.decoder_layers) == (1, 1)
    assert network.vocabulary == Seq2SeqNetwork.pretrained(writer, "main").vocabulary
    save(network, tmp_path, source=made)
    assert load(tmp_path).write(TEXTS[:3], max_length=6) == network.write(TEXTS[:3], max_length=6)
    assert transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path).config.encoder_layers == 1
    whole = lb.keep_layers(Seq2SeqNetwork.pretrained(writer, "main"), encoder=2, decoder=1)
    assert isinstance(whole, Seq2SeqNetwork) and len(whole.model.model.encoder.layers) == 2


@pytest.mark.parametrize(
    "steps, said",
    [
        (
            "vocabulary(60)",
            r"keep_layers and max_length alone for a network that writes texts, got vocabulary\(60\)",
        ),
        (
            "keep_layers(encoder=1) | static(dim=4)",
            "expected keep_layers and max_length alone for a network that writes texts, got sta",
        ),
        ("keep_layers(encoder=1, how='importance')", "expected layers by place .* of a network that writes texts, got"),
        ("keep_layers(1)", "expected keep alone for a model with one stack of layers"),
        ("keep_layers(encoder=9)", "expected 1 to 2 layers of the encoder to keep, got 9"),
    ],
)
def test_other_steps_of_a_network_that_writes_are_refused(writer, steps, said):
    with pytest.raises(ConfigError, match=said):
        writes(f"hf:{writer} | {steps}")


def test_students_that_write_need_a_teacher_that_writes():
    said = (
        r"expected a teacher that is a network that writes texts for the student keep_layers\(encoder=1\), got a call"
    )
    with pytest.raises(ConfigError, match=said):
        writes("keep_layers(encoder=1)", Ground(None, lambda: None, "a callable"))
    with pytest.raises(
        ConfigError, match="expected a network that writes texts for the generation task 'main', got st:x"
    ):
        writes("st:x | keep_layers(encoder=1)")
