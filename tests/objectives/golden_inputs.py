"""The closed-form inputs on which the authors' own code gave the golden numbers (float64, torch 2.13)."""

import torch

ROWS, CLASSES = 6, 7
_i = torch.arange(ROWS, dtype=torch.float64)[:, None]
_j = torch.arange(CLASSES, dtype=torch.float64)[None, :]

LABELS = torch.tensor([0, 3, 6, 2, 5, 1])
STUDENT = 2 * torch.sin(1.3 * _i + 0.7 * _j + 0.1)
TEACHER = 3 * torch.cos(0.9 * _i - 0.5 * _j + 0.3) + 1.5 * (_j == LABELS[:, None])
VALID = torch.tensor([5, -100, 1, 1, -100, 2]) != -100


def features(rows, width, a, b, e):
    """feat(B, C, 1, 1) of the golden file: sin(a i + b j + e i j)."""
    i = torch.arange(rows, dtype=torch.float64)[:, None]
    j = torch.arange(width, dtype=torch.float64)[None, :]
    return torch.sin(a * i + b * j + e * i * j)


STUDENT_EMBEDDING = features(6, 5, 0.9, 0.4, 0.2)
TEACHER_EMBEDDING = features(6, 8, -0.7, 0.5, 0.3) + 0.1
