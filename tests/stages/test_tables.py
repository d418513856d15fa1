"""Rows become inputs of a student once for all arms and seeds."""

import pandas as pd
import torch

import limbeck as lb
from limbeck.models.student import Student
from limbeck.signals import MAIN
from limbeck.stages.tables import encoded


class Words:
    """A tokenizer that counts how often it is asked."""

    max_length = 16

    def __init__(self, name):
        self.fingerprint, self.asked = name, 0

    def encode(self, inputs):
        self.asked += 1
        return torch.tensor([[len(text)] for text in inputs["sentence"]], dtype=torch.int32).numpy() + len(
            self.fingerprint
        )


def student(words):
    return Student("pretrained", lambda: torch.nn.Identity(), "words", (1,), {MAIN: 2}, {}, encoder=words)


def test_texts_are_tokenised_once_for_each_split_and_tokenizer():
    frame = pd.DataFrame({"sentence": [f"a text of number {n}" for n in range(40)], "label": ["a", "b"] * 20})
    data = lb.Data(train=frame[:20], validation=frame[20:30], test=frame[30:])
    short, long = Words("x"), Words("longer")
    for _ in range(3):
        for rows in (data.validation, data.test):
            one, other = encoded(data, rows, student(short)), encoded(data, rows, student(long))
            assert torch.equal(one + 5, other)
            assert torch.equal(one, torch.from_numpy(short.encode(rows.inputs)))
    assert short.asked == 2 + 6 and long.asked == 2
