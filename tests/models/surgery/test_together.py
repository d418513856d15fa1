import tiny
import torch
import transformers as tf

from limbeck.models.surgery import describe, keep_layers, shrink, shrink_vocabulary, tap_paths


def test_all_surgeries_one_after_another_round_trip(minilm, tmp_path):
    model, tokenizer = minilm
    texts = ["a good film with great actors", "the table stood beside the window"]
    student, short = shrink_vocabulary(keep_layers(model, 3), tokenizer, 2500, texts)
    batch = dict(short(texts, padding=True, return_tensors="pt"))
    student = shrink(student, width=192, ffn=768, batches=[batch])
    assert describe(student)["parameters"] < describe(model)["parameters"] / 8
    assert list(tap_paths(student))[-4:] == ["hidden.3", "query.3", "key.3", "value.3"]
    student.save_pretrained(tmp_path)
    short.save_pretrained(tmp_path)
    read, reader = tf.AutoModel.from_pretrained(tmp_path), tf.AutoTokenizer.from_pretrained(tmp_path)
    again = dict(reader(texts, padding=True, return_tensors="pt"))
    assert torch.equal(again["input_ids"], batch["input_ids"])
    assert all(torch.equal(value, read.state_dict()[key]) for key, value in student.state_dict().items())
    torch.testing.assert_close(tiny.answer(read, again), tiny.answer(student, batch))
    out = student.train()(**batch).last_hidden_state
    out.sum().backward()
    assert all(p.grad is not None for name, p in student.named_parameters() if "pooler" not in name)
