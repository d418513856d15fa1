"""A beam search over the frames of a student that transcribes, for `transcribe.py`: NumPy alone."""

import numpy as np


def decoded(logits, beams):
    """Classes of frames [T, C]: class 0 is the blank; a prefix keeps the mass of all its paths."""
    kept = {(): (0.0, -np.inf)}  # log mass of a prefix's paths that end in a blank, and of those that do not
    for frame in logits - np.logaddexp.reduce(logits, -1, keepdims=True):
        found = {}
        for prefix, (blank, other) in kept.items():
            ways = [(prefix, 0, np.logaddexp(blank, other) + frame[0])]
            ways += [(prefix, 1, other + frame[prefix[-1]])] if prefix else []
            for i in np.flatnonzero(frame >= frame.max() - 12):  # what is less likely opens no prefix
                if i:  # the class that a prefix ends in begins anew only behind a blank
                    before = blank if prefix and i == prefix[-1] else np.logaddexp(blank, other)
                    ways.append(((*prefix, int(i)), 1, before + frame[i]))
            for text, end, mass in ways:
                sums = found.setdefault(text, [-np.inf, -np.inf])
                sums[end] = np.logaddexp(sums[end], mass)
        kept = dict(sorted(found.items(), key=lambda item: (-np.logaddexp(*item[1]), item[0]))[:beams])
    return next(iter(kept))
