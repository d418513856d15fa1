"""A run that takes a second or two, for the tests that kill it; imported by them and by their child processes."""

import numpy as np
from sklearn.datasets import load_digits

import limbeck as lb


def small_data():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype(np.float32), y[order]
    return lb.Data(
        train=(x[:90], y[:90]), unlabeled=x[90:200], validation=(x[200:260], y[200:260]), test=(x[260:400], y[260:400])
    )


def small_run(folder):
    """Two seeds, four arms, a teacher that is trained too."""
    plan = lb.TrainSpec(steps=12, batch_size=32, learning_rate=0.01, checkpoint_every=5, validate_every=6)
    return lb.distill(
        "mlp(hidden=[12])",
        "mlp(hidden=[6], dropout=0.2)",
        small_data(),
        objective="0.5 * CE + 0.5 * KD(temperature=auto)",
        train=plan,
        teacher_train=lb.TrainSpec(steps=60, checkpoint_every=25, learning_rate=0.02),
        seeds=2,
        out=folder,
    )


def weights(folder):
    """The bytes of every trained student and control."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for arm in ("student", "control", "soft", "pseudo")
        for path in sorted((folder / arm).glob("seed-*/model.safetensors"))
    }
