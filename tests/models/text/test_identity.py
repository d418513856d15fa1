"""What a model of text is does not depend on where it was read from, nor on what its tokenizer cut last."""

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from limbeck.models.fingerprint import module_hash
from limbeck.models.saved import load, save
from limbeck.models.text.network import TextNetwork
from limbeck.models.text.tokens import TextEncoder, rows_of

WORDS = ["[PAD]", "[UNK]", "a", "b", "c"]


def _encoder(length=8):
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]")
    return TextEncoder(made, length)


def test_a_tokenizer_that_has_encoded_is_the_same_tokenizer():
    used, other = _encoder(), _encoder(4)
    used.encode(["a b c " * 9])
    assert used.fingerprint == _encoder().fingerprint != other.fingerprint


def test_a_model_read_from_another_folder_is_the_same_model(tmp_path):
    config = transformers.BertConfig(
        vocab_size=5, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    first = TextNetwork(transformers.BertForSequenceClassification(config), _encoder(), {"main": 2}).eval()
    save(first, tmp_path / "a", names={"main": ("x", "y")})
    again = load(tmp_path / "a")
    save(again, tmp_path / "b", names={"main": ("x", "y")})
    assert module_hash(load(tmp_path / "b")) == module_hash(again)
    with torch.no_grad():
        next(again.parameters()).add_(1.0)
    assert module_hash(load(tmp_path / "b")) != module_hash(again)


def test_rows_of_inputs_have_their_tokens_in_front():
    inputs = {
        "input_ids": torch.tensor([[0, 0, 7, 8], [9, 0, 3, 0]]),
        "attention_mask": torch.tensor([[0, 0, 1, 1], [1, 0, 1, 0]]),
        "token_type_ids": torch.tensor([[0, 0, 0, 1], [0, 0, 1, 0]]),
    }
    expected = [[7, 8 | 1 << 24, -1, -1], [9, 3 | 1 << 24, -1, -1]]
    assert rows_of(inputs).tolist() == expected and rows_of(inputs).dtype == torch.int32
    plain = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    assert rows_of(plain).tolist() == [[7, 8, -1, -1], [9, 3, -1, -1]]


def test_a_teacher_that_cuts_texts_elsewhere_is_another_teacher():
    from limbeck.stages.teachers import GivenTeacher

    config = transformers.BertConfig(
        vocab_size=5, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    model = transformers.BertForSequenceClassification(config).eval()
    long, same, short = (GivenTeacher(TextNetwork(model, _encoder(n), {"main": 2}).eval()) for n in (8, 8, 4))
    assert long.fingerprint() == same.fingerprint() != short.fingerprint()
    assert long.tokenizer() == same.tokenizer() != short.tokenizer()
