import json

import pytest
import tiny
import tokenizers as tk
import torch
import transformers as tf
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from limbeck.core.errors import ConfigError, NotSupported, ShapeMismatch
from limbeck.models.surgery import describe, shrink_vocabulary

TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "pack my box with five dozen liquor jugs",
    "how vexingly quick daft zebras jump in the brown river beside the quiet town",
] * 3
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
NAMES = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"}


def pieces():
    """Pieces of a Unigram model: characters, starts of words and words, the longer the likelier."""
    words = sorted({"▁" + word for text in TEXTS for word in text.split()})
    starts = sorted({word[:end] for word in words for end in range(2, len(word) + 1)} - set(words))
    singles = sorted({c for word in words for c in word})
    scored = [(word, -3.0) for word in words] + [(start, -6.0) for start in starts] + [(c, -9.0) for c in singles]
    return [(token, 0.0) for token in SPECIAL] + scored


def trained(kind, size=160):
    if kind == "WordPiece":
        made = tk.Tokenizer(models.WordPiece(unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False)
    elif kind == "Unigram":
        made = tk.Tokenizer(models.Unigram(pieces(), unk_id=3, byte_fallback=False))
        made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        made.add_special_tokens(SPECIAL)
        trainer = None
    else:
        made = tk.Tokenizer(models.BPE())
        made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=size + 200, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        )
    if trainer:
        made.train_from_iterator(TEXTS, trainer)
    made.add_tokens(["limbeck"])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tf.PreTrainedTokenizerFast(tokenizer_object=made, **NAMES)


def bert_for(tokenizer):
    torch.manual_seed(0)
    size = {**tiny.BERT, "vocab_size": len(tokenizer) + 3, "pad_token_id": 1, "num_hidden_layers": 1}
    return tf.BertForMaskedLM(tf.BertConfig(**size)).eval()


def encoded(tokenizer, texts):
    return tokenizer(texts, padding=True, return_tensors="pt")


@pytest.mark.parametrize("kind", ["WordPiece", "Unigram", "BPE"])
def test_what_keeps_its_tokens_keeps_its_outputs(kind, tmp_path):
    tokenizer = trained(kind)
    model = bert_for(tokenizer)
    often = ["the brown fox", "the quick fox limbeck"] * 5
    size = len(tokenizer) - 40
    student, short = shrink_vocabulary(model, tokenizer, size, often)
    assert len(short) == student.config.vocab_size == student.get_input_embeddings().weight.shape[0]
    assert size - 2 <= len(short) <= size
    before, after = encoded(tokenizer, often[:2]), encoded(short, often[:2])
    for old, new in zip(before["input_ids"], after["input_ids"], strict=True):
        assert tokenizer.convert_ids_to_tokens(old) == short.convert_ids_to_tokens(new)
    assert torch.equal(before["attention_mask"], after["attention_mask"])
    full, cut = tiny.answer(model, dict(before)), tiny.answer(student, dict(after))
    ids = [tokenizer.convert_tokens_to_ids(short.convert_ids_to_tokens(n)) for n in range(len(short))]
    torch.testing.assert_close(cut, full[..., ids])
    student.save_pretrained(tmp_path)
    short.save_pretrained(tmp_path)
    assert torch.equal(tiny.answer(tiny.again(student, tmp_path), dict(after)), cut)
    read = tf.AutoTokenizer.from_pretrained(tmp_path)
    assert read.get_vocab() == short.get_vocab()
    assert read(TEXTS, often[:1] * len(TEXTS))["input_ids"] == short(TEXTS, often[:1] * len(TEXTS))["input_ids"]


@pytest.mark.parametrize("kind", ["WordPiece", "Unigram", "BPE"])
def test_nothing_becomes_unknown(kind):
    tokenizer = trained(kind)
    _, short = shrink_vocabulary(bert_for(tokenizer), tokenizer, len(tokenizer) - 50, ["the"])
    for text in TEXTS:
        assert short.unk_token_id not in short(text)["input_ids"]
        assert short.decode(short(text)["input_ids"], skip_special_tokens=True).replace(" ", "").replace(
            "##", ""
        ) == text.replace(" ", "")
    unknown = short("ж")["input_ids"]
    assert (short.unk_token_id in unknown) == (tokenizer.unk_token_id in tokenizer("ж")["input_ids"])


@pytest.mark.parametrize("kind", ["WordPiece", "Unigram", "BPE"])
def test_all_tokens_kept_change_nothing(kind):
    tokenizer = trained(kind)
    model = bert_for(tokenizer)
    student, short = shrink_vocabulary(model, tokenizer, len(tokenizer), TEXTS)
    assert short.get_vocab() == tokenizer.get_vocab()
    batch = dict(encoded(tokenizer, TEXTS[:3]))
    assert dict(encoded(short, TEXTS[:3]))["input_ids"].equal(batch["input_ids"])
    torch.testing.assert_close(tiny.answer(student, batch), tiny.answer(model, batch)[..., : len(tokenizer)])


def test_the_padding_of_roberta_keeps_its_id_and_its_positions():
    tokenizer = trained("BPE")
    torch.manual_seed(0)
    model = tf.RobertaModel(
        tf.RobertaConfig(**{**tiny.BERT, "vocab_size": len(tokenizer)}, num_hidden_layers=1, pad_token_id=1)
    ).eval()
    student, short = shrink_vocabulary(model, tokenizer, len(tokenizer) - 30, TEXTS)
    assert student.config.pad_token_id == short.pad_token_id == 1
    text = ["the", "the brown the"]
    old, new = encoded(tokenizer, text), encoded(short, text)
    torch.testing.assert_close(tiny.answer(student, dict(new)), tiny.answer(model, dict(old)))


def test_ids_in_the_configs_are_those_of_the_new_vocabulary():
    tokenizer = trained("Unigram")
    start = tokenizer.convert_tokens_to_ids("limbeck")
    config = tf.T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=4, d_ff=24, num_layers=1, num_heads=4,
        pad_token_id=1, eos_token_id=2, decoder_start_token_id=start,
    )  # fmt: skip
    model = tf.T5ForConditionalGeneration(config).eval()
    model.generation_config.bad_words_ids = [[3], [start, 2]]
    student, short = shrink_vocabulary(model, tokenizer, len(tokenizer) - 30, TEXTS)
    assert short.convert_ids_to_tokens(student.config.decoder_start_token_id) == "limbeck"
    assert student.generation_config.decoder_start_token_id == student.config.decoder_start_token_id
    assert student.generation_config.bad_words_ids == [[3], [student.config.decoder_start_token_id, 2]]
    assert model.generation_config.bad_words_ids == [[3], [start, 2]]
    out = student.generate(**encoded(short, ["the fox"]), max_new_tokens=3)
    assert out.max() < len(short)


def of_class(name):
    """A tokenizer of a class of transformers' own, which builds itself anew from the vocabulary."""
    kind = {"BertTokenizer": "WordPiece", "RobertaTokenizer": "BPE"}.get(name, "Unigram")
    spec = json.loads(trained(kind).backend_tokenizer.to_str())["model"]
    if kind == "BPE":
        return tf.RobertaTokenizer(vocab=spec["vocab"], merges=[tuple(pair) for pair in spec["merges"]])
    tokens = [entry if kind == "WordPiece" else tuple(entry) for entry in spec["vocab"]]
    if kind == "WordPiece":
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(word for word in tokens if word not in SPECIAL)]
        return tf.BertTokenizer(vocab={word: number for number, word in enumerate(words)})
    first = ["<s>", "<pad>", "</s>", "<unk>"] if name == "XLMRobertaTokenizer" else ["<pad>", "</s>", "<unk>"]
    last = [("<mask>", 0.0)] if name == "XLMRobertaTokenizer" else []
    rest = [entry for entry in tokens if entry[0] not in SPECIAL]
    return getattr(tf, name)(vocab=[(token, 0.0) for token in first] + rest + last)


@pytest.mark.parametrize("name", ["BertTokenizer", "RobertaTokenizer", "XLMRobertaTokenizer", "T5Tokenizer"])
def test_classes_that_build_themselves_round_trip(name, tmp_path):
    tokenizer = of_class(name)
    model = bert_for(tokenizer)
    student, short = shrink_vocabulary(model, tokenizer, len(tokenizer) - 20, ["the brown fox"] * 5)
    assert type(short) is type(tokenizer)
    before, after = tokenizer("the brown fox")["input_ids"], short("the brown fox")["input_ids"]
    assert short.convert_ids_to_tokens(after) == tokenizer.convert_ids_to_tokens(before)
    short.save_pretrained(tmp_path)
    student.config.save_pretrained(tmp_path)
    read = tf.AutoTokenizer.from_pretrained(tmp_path)
    assert read.get_vocab() == short.get_vocab()
    assert read(TEXTS)["input_ids"] == short(TEXTS)["input_ids"]
    assert not any(short.unk_token_id in row for row in short(TEXTS)["input_ids"])


def test_bart_loses_rows_and_the_bias_of_its_scores():
    tokenizer = trained("BPE")
    torch.manual_seed(0)
    model = tf.BartForConditionalGeneration(
        tf.BartConfig(**{**tiny.BART, "vocab_size": len(tokenizer)}, encoder_layers=1, decoder_layers=1)
    ).eval()
    model.final_logits_bias.copy_(torch.randn(1, len(tokenizer)))
    student, short = shrink_vocabulary(model, tokenizer, len(tokenizer) - 30, TEXTS)
    old, new = encoded(tokenizer, ["the brown the"]), encoded(short, ["the brown the"])
    ids = [tokenizer.convert_tokens_to_ids(short.convert_ids_to_tokens(n)) for n in range(len(short))]
    torch.testing.assert_close(tiny.answer(student, dict(new)), tiny.answer(model, dict(old))[..., ids])


def test_every_word_of_a_real_vocabulary_stays_known(minilm):
    model, tokenizer = minilm
    _, short = shrink_vocabulary(model, tokenizer, 2100, ["a"])
    words = [token.removeprefix("##") for token in tokenizer.get_vocab()]
    pairs = [a + b for a, b in zip(words[::3], words[1::3], strict=False)]
    for texts in (words, pairs):
        before, after = (t(texts, truncation=False, padding=False)["input_ids"] for t in (tokenizer, short))
        lost = [
            text
            for text, old, new in zip(texts, before, after, strict=True)
            if (short.unk_token_id in new) != (tokenizer.unk_token_id in old)
        ]
        assert not lost


def test_a_real_encoder_gets_small_and_keeps_its_answers(minilm, tmp_path):
    model, tokenizer = minilm
    texts = ["a good film with great actors", "the table stood beside the window"]
    student, short = shrink_vocabulary(model, tokenizer, 3000, texts)
    assert len(short) == 3000
    assert describe(student)["parameters"] == describe(model)["parameters"] - (30522 - 3000) * 384
    before = tokenizer(texts, padding=True, return_tensors="pt")
    after = short(texts, padding=True, return_tensors="pt")
    torch.testing.assert_close(tiny.answer(student, dict(after)), tiny.answer(model, dict(before)))
    hard = "Unbelievably, déjà-vu 北京 ∑ emoji!"
    assert (short.unk_token_id in short(hard)["input_ids"]) == (tokenizer.unk_token_id in tokenizer(hard)["input_ids"])
    short.save_pretrained(tmp_path)
    read = tf.AutoTokenizer.from_pretrained(tmp_path)
    assert read([hard, *texts])["input_ids"] == short([hard, *texts])["input_ids"]


def test_what_cannot_be_cut_is_refused(minilm):
    model, tokenizer = minilm
    with pytest.raises(ConfigError, match=r"expected a vocabulary of at least \d+ tokens, got 100"):
        shrink_vocabulary(model, tokenizer, 100, ["a"])
    with pytest.raises(ConfigError, match="expected a fast tokenizer of transformers, got object"):
        shrink_vocabulary(model, object(), 100, ["a"])
    level = tf.PreTrainedTokenizerFast(tokenizer_object=tk.Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    with pytest.raises(NotSupported, match="expected a tokenizer of kind WordPiece, Unigram, BPE, got WordLevel"):
        shrink_vocabulary(model, level, 100, ["a"])
    with pytest.raises(ShapeMismatch, match="expected a tokenizer of at most 60 tokens"):
        shrink_vocabulary(tiny.make("bert", depth=1), tokenizer, 100, ["a"])
