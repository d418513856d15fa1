"""Tiny random models of every architecture, and inputs for them."""

import copy

import torch
import transformers as tf

BERT = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
BART = {
    "vocab_size": 60,
    "d_model": 16,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 20,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": 2,
}
LLAMA = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
}


def _distil(depth):
    return tf.DistilBertConfig(
        vocab_size=60, dim=16, n_heads=4, hidden_dim=24, n_layers=depth, max_position_embeddings=40
    )


ENCODERS = {
    "bert": lambda d: tf.BertForSequenceClassification(tf.BertConfig(**BERT, num_hidden_layers=d)),
    "bert-mlm": lambda d: tf.BertForMaskedLM(tf.BertConfig(**BERT, num_hidden_layers=d)),
    "bert-base": lambda d: tf.BertModel(tf.BertConfig(**BERT, num_hidden_layers=d)),
    "roberta": lambda d: tf.RobertaForMaskedLM(tf.RobertaConfig(**BERT, num_hidden_layers=d)),
    "xlm-roberta": lambda d: tf.XLMRobertaForTokenClassification(tf.XLMRobertaConfig(**BERT, num_hidden_layers=d)),
    "camembert": lambda d: tf.CamembertForSequenceClassification(tf.CamembertConfig(**BERT, num_hidden_layers=d)),
    "distilbert": lambda d: tf.DistilBertForSequenceClassification(_distil(d)),
    "distilbert-mlm": lambda d: tf.DistilBertForMaskedLM(_distil(d)),
    "mpnet": lambda d: tf.MPNetModel(tf.MPNetConfig(**BERT, num_hidden_layers=d)),
    "mpnet-mlm": lambda d: tf.MPNetForMaskedLM(tf.MPNetConfig(**BERT, num_hidden_layers=d)),
    "electra": lambda d: tf.ElectraForSequenceClassification(
        tf.ElectraConfig(**BERT, embedding_size=8, num_hidden_layers=d)
    ),
    "electra-disc": lambda d: tf.ElectraForPreTraining(
        tf.ElectraConfig(**BERT, embedding_size=16, num_hidden_layers=d)
    ),
}
DECODERS = {
    "gpt2": lambda d: tf.GPT2LMHeadModel(
        tf.GPT2Config(vocab_size=60, n_embd=16, n_head=4, n_layer=d, n_positions=40, bos_token_id=0, eos_token_id=0)
    ),
    "llama": lambda d: tf.LlamaForCausalLM(tf.LlamaConfig(**LLAMA, num_hidden_layers=d)),
    "mistral": lambda d: tf.MistralForCausalLM(tf.MistralConfig(**LLAMA, num_hidden_layers=d)),
    "qwen2": lambda d: tf.Qwen2ForCausalLM(tf.Qwen2Config(**LLAMA, num_hidden_layers=d, tie_word_embeddings=True)),
}
SEQ2SEQ = {
    "t5": lambda d: tf.T5ForConditionalGeneration(
        tf.T5Config(vocab_size=60, d_model=16, d_kv=4, d_ff=24, num_layers=d, num_heads=4, decoder_start_token_id=0)
    ),
    "t5-gated": lambda d: tf.T5ForConditionalGeneration(
        tf.T5Config(
            vocab_size=60,
            d_model=16,
            d_kv=8,
            d_ff=24,
            num_layers=d,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            decoder_start_token_id=0,
        )
    ),
    "bart": lambda d: tf.BartForConditionalGeneration(tf.BartConfig(**BART, encoder_layers=d, decoder_layers=d)),
    "marian": lambda d: tf.MarianMTModel(tf.MarianConfig(**BART, encoder_layers=d, decoder_layers=d)),
}
ALL = ENCODERS | DECODERS | SEQ2SEQ


def make(name, depth=3, seed=0):
    torch.manual_seed(seed)
    model = ALL[name](depth).eval()
    with torch.no_grad():  # fresh norms and biases are ones and zeros: make every parameter its own
        for path, parameter in model.named_parameters():
            if name == "marian" and "embed_positions" in path:
                continue  # sinusoids: from_pretrained makes them, whatever is in the file
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def inputs(name, rows=3, length=7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 60, (rows, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, -2:] = 0
    batch = {"input_ids": ids, "attention_mask": mask}
    if name in SEQ2SEQ:
        batch["decoder_input_ids"] = torch.randint(5, 60, (rows, 5), generator=generator)
    return batch


def answer(model, batch):
    with torch.no_grad():
        out = model.eval()(**batch)
    return out.logits if "logits" in out else out.last_hidden_state


def again(model, folder):
    """Written and read back.

    Copied, because tensors that are read lie in the file's memory, some of them not aligned, and there BLAS adds up in
    another order: even an untouched model differs in its last bit.
    """
    model.save_pretrained(folder)
    return copy.deepcopy(type(model).from_pretrained(folder).eval())
