"""One of two processes of a batchwise step: `python two_ranks.py STORE RANK OUT`."""

import json
import sys

import torch
import torch.distributed as dist

ROWS = 12


def student_and_batch():
    import numpy as np

    from limbeck.signals import Batch

    torch.manual_seed(0)
    student = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)).double()
    inputs = torch.randn(ROWS, 4, dtype=torch.float64)
    answers = torch.randn(ROWS, 8, dtype=torch.float64)
    weight = torch.randint(1, 5, (ROWS,)) / 4
    keys = np.stack([np.zeros(ROWS, np.uint64), np.arange(ROWS, dtype=np.uint64)], axis=1)
    return student, Batch(keys=keys, student_inputs=inputs, weight=weight), answers


def step(rows):
    """Sum of every term over `rows`, the counts, and the student's gradient of the sums."""
    from dataclasses import replace

    from limbeck.objectives import KD, RKD
    from limbeck.signals import Signals
    from limbeck.train.steps import Learner

    student, batch, answers = student_and_batch()
    objective = RKD(pair=("1", "pool")) + 0.5 * KD(temperature=2)
    mine = replace(batch, keys=batch.keys[rows], student_inputs=batch.student_inputs[rows], weight=batch.weight[rows])
    teacher = Signals({"main": answers[rows, :3]}, {"pool": answers[rows]})
    learner = Learner(student, objective, ("main",))
    return learner, learner(mine, teacher)


def total_step(rows, everywhere=lambda x: x):
    """Loss and gradient as a trainer makes them: sums and counts over all ranks, then one division a term."""
    learner, parts = step(rows)
    counts = [everywhere(count.detach().clone().double()) for _, count in parts]
    weights = [term.weight for term in learner.objective]
    loss = sum(w * total / count for w, (total, _), count in zip(weights, parts, counts, strict=True))
    loss.backward()
    grads = [everywhere(p.grad.clone()).flatten().tolist() for p in learner.student.parameters()]
    return {"loss": float(everywhere(loss.detach().clone())), "grads": grads}


def main(store, rank, out):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)

    def everywhere(value):
        dist.all_reduce(value)
        return value

    half = ROWS // 2
    result = total_step(slice(rank * half, (rank + 1) * half), everywhere)
    with open(out, "w") as file:
        json.dump(result, file)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
