"""Surgery as functions of the library: on models of transformers, networks of text and teachers."""

import e2e_text_models as tiny
import pytest
import torch
import transformers

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.models.student import Student
from limbeck.models.text.network import TextNetwork
from limbeck.stages.taught import TaughtNetwork
from limbeck.stages.train import suited

TEXTS = tiny.texts(60, 0)["sentence"].tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write("bert", tmp_path_factory.mktemp("bert")).removeprefix("hf:")


@pytest.fixture(scope="module")
def network(folder):
    return TextNetwork.pretrained(folder, {"main": 2}).eval()


@pytest.fixture(scope="module")
def model(folder):
    return transformers.AutoModel.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)


def answer(network):
    return network(torch.from_numpy(network.encoder.encode(TEXTS[:5])))


def test_a_network_gives_networks(network):
    kept = lb.keep_layers(network, [0, 1, 2])
    torch.testing.assert_close(answer(kept.eval()), answer(network))  # all layers, and the head
    assert lb.keep_layers(network, 1, "importance", texts=TEXTS).model.config.num_hidden_layers == 1
    thin = lb.shrink(network, width=16, heads=2, texts=TEXTS)
    assert (thin.width, thin.model.config.shrunk_by) == (16, "mean absolute activation")
    short = lb.shrink_vocabulary(network, 70, TEXTS)
    assert len(short.encoder.tokenizer) == 70
    torch.testing.assert_close(answer(short.eval()), answer(network))  # no token of these texts is lost
    static = lb.static_embeddings(short, 8, texts=TEXTS, hidden=[4])
    assert answer(static).shape == (5, 2) and static.embedding.weight.shape == (70, 8)
    assert torch.equal(answer(static), answer(lb.static_embeddings(short, 8, texts=TEXTS, hidden=[4])))
    assert network.model.config.num_hidden_layers == 3


def test_a_model_of_transformers_gives_models_of_transformers(model):
    bert, tokenizer = model
    kept = lb.keep_layers(bert, 2, "importance", texts=TEXTS, tokenizer=tokenizer)
    assert type(kept) is type(bert) and kept.config.num_hidden_layers == 2
    assert lb.shrink(kept, ffn=32, texts=TEXTS, tokenizer=tokenizer).config.intermediate_size == 32
    short, words = lb.shrink_vocabulary(kept, 60, TEXTS, tokenizer=tokenizer)
    assert short.config.vocab_size == len(words) == 60
    assert answer(lb.static_embeddings(short, 8, tokenizer=words)).shape == (5, 2)


def test_a_taught_teacher_is_cut_as_it_was_taught(folder, tmp_path):
    data = lb.Data(train=tiny.texts(120, 0), test=tiny.texts(40, 1))
    teacher = lb.teach(f"hf:{folder}", data, train=2, out=tmp_path)
    cut = lb.keep_layers(teacher, 3)
    torch.testing.assert_close(answer(cut.eval()), answer(teacher.members_taught[0].model.eval()))


@pytest.mark.parametrize(
    "text, rate",
    [("hf:{}", 1e-4), ("hf:{} | keep_layers(1)", 1e-4), ("hf:{} | frozen", 2e-3), ("hf:{} | static(dim=8)", 2e-3)],
)
def test_what_is_fine_tuned_has_a_rate_of_its_own(folder, text, rate):
    student = Student.of(text.format(folder), (), {"main": 2})
    assert suited(lb.TrainSpec(), student).rate() == rate
    assert suited(lb.TrainSpec(learning_rate=0.5), student).rate() == 0.5
    assert suited(lb.TrainSpec(optimizer="sgd"), student).rate() == 0.05


def test_refusals(network, model):
    with pytest.raises(ConfigError, match=r"network of text or a teacher that is one for keep_layers\(2\), got str"):
        lb.keep_layers("hf:x", 2)
    with pytest.raises(ConfigError, match=r"for static\(dim=8\), got TaughtNetwork|got NoneType"):
        lb.static_embeddings(TaughtNetwork("hf:x"), 8)
    with pytest.raises(ConfigError, match="expected training texts for keep_layers"):
        lb.keep_layers(network, 1, "importance")
    with pytest.raises(ConfigError, match="expected width, heads or ffn, got nothing"):
        lb.shrink(network)
    with pytest.raises(ConfigError, match="expected the tokenizer of BertModel, got none"):
        lb.static_embeddings(model[0], 8)
