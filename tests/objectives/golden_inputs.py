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


def maps(rows, channels, height, width, a, b, c, d, e):
    """feat(B, C, H, W) of the golden file: sin(a i + b j + c h + d w + e i j)."""
    i, j, h, w = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) for n in (rows, channels, height, width)), indexing="ij"
    )
    return torch.sin(a * i + b * j + c * h + d * w + e * i * j)


STUDENT_EMBEDDING = features(6, 5, 0.9, 0.4, 0.2)
TEACHER_EMBEDDING = features(6, 8, -0.7, 0.5, 0.3) + 0.1

# attention before the softmax [B, H, T, T], hidden states [B, T, D], and which of the T tokens are real
STUDENT_SCORES = 2 * maps(2, 3, 5, 5, 0.5, 0.8, 0.3, -0.2, 0.1)
TEACHER_SCORES = 2 * maps(2, 3, 5, 5, -0.4, 0.6, 0.25, 0.5, 0.15)
STUDENT_STATES = maps(2, 5, 6, 1, 0.5, 0.8, 0.3, 0.0, 0.1).squeeze(-1)
TEACHER_STATES = maps(2, 5, 6, 1, -0.4, 0.6, 0.25, 0.0, 0.15).squeeze(-1)
REAL = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]) == 1
