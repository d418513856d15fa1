"""What a test set can show, before any work: power, the smallest gain it can find, and the rows that a gain needs.

Gains and spreads are shares: 0.02 is two points of accuracy. What is not known before work is assumed:

    discordance 0.08     student and control of one seed differ in being right on 8 % of the rows
                         (measured on small students of digits: 2 to 8 %)
    seed_sd 0.005        the gain of one pair of seeds scatters by half a point around the mean gain
                         (0.2 to 0.3 points where labels are many, 1.3 to 1.6 for students of eight units)
    repeat 0.3           share of the variance of a row's difference that comes back with every seed
                         (measured: 0.2 to 0.4); the rest averages out over seeds

The verdict is read off the interval of `limbeck.evaluate.stats.gain`, so the promise is made with that interval.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, special, stats

from limbeck.core.errors import ConfigError
from limbeck.evaluate.components import Spread, half_width

DISCORDANCE = 0.08
SEED_SD = 0.005
REPEAT = 0.3
TARGET = 0.8  # the power that "can show" means

_POINTS = 64


def power(
    true_gain: float,
    n_rows: int,
    n_seeds: int = 5,
    discordance: float = DISCORDANCE,
    seed_sd: float = SEED_SD,
    repeat: float = REPEAT,
    level: float = 0.95,
) -> float:
    """Probability that a true gain ends in the verdict "helped"."""
    _check(n_rows, n_seeds, discordance, seed_sd, repeat)
    of_rows, of_seeds, of_rest = _variances(true_gain, n_rows, n_seeds, discordance, seed_sd, repeat)
    # two arms that scatter alike and independently: what the estimate pools, see components.pool
    free = 2.0 * (n_seeds - 1)
    at = (np.arange(_POINTS) + 0.5) / _POINTS
    drawn = (of_seeds + of_rest) * stats.chi2.ppf(at, free) / free
    full = np.ones(_POINTS)
    half = half_width(Spread(of_rows * full, drawn, of_rest * full, n_rows - 1.0, free * full), level, _POINTS)
    return float(special.ndtr((true_gain - half) / np.sqrt(of_rows + of_seeds)).mean())


def minimal_gain(
    n_rows: int,
    n_seeds: int = 5,
    discordance: float = DISCORDANCE,
    seed_sd: float = SEED_SD,
    repeat: float = REPEAT,
    level: float = 0.95,
    target: float = TARGET,
) -> float:
    """Find the smallest gain that the test set shows with a power of `target`; infinite where not even 1 is shown."""

    def short(gain: float) -> float:
        return power(gain, n_rows, n_seeds, discordance, seed_sd, repeat, level) - target

    if short(1.0) < 0:
        return float("inf")
    return float(optimize.brentq(short, 0.0, 1.0, xtol=1e-5))


def rows_needed(
    true_gain: float,
    n_seeds: int = 5,
    discordance: float = DISCORDANCE,
    seed_sd: float = SEED_SD,
    repeat: float = REPEAT,
    level: float = 0.95,
    target: float = TARGET,
) -> int | None:
    """Count the test rows that show a gain with a power of `target`; None where only more seeds would do."""
    if not 0 < true_gain <= 1:
        raise ConfigError(f"expected a gain above 0 and up to 1, got {true_gain}", "0.02 means two points")
    low, high = 1, 2

    def enough(rows: int) -> bool:
        return power(true_gain, rows, n_seeds, discordance, seed_sd, repeat, level) >= target

    while not enough(high):
        low, high = high, 2 * high
        if high > 10**8:
            return None
    while high - low > max(1, low // 200):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _variances(
    gain: float, n_rows: int, n_seeds: int, discordance: float, seed_sd: float, repeat: float
) -> tuple[float, float, float]:
    # a gain of g needs g of the rows to differ at least
    of_difference = max(max(discordance, abs(gain)) - gain**2, 0.0)
    rest = of_difference * (1 - repeat) / (n_rows * n_seeds)
    return of_difference * repeat / n_rows + rest, seed_sd**2 / n_seeds, rest


def _check(n_rows: int, n_seeds: int, discordance: float, seed_sd: float, repeat: float) -> None:
    wrong = []
    if n_rows < 2:
        wrong.append(f"n_rows={n_rows} (two or more)")
    if n_seeds < 2:
        wrong.append(f"n_seeds={n_seeds} (two or more)")
    if not 0 < discordance <= 1:
        wrong.append(f"discordance={discordance} (above 0, up to 1)")
    if not 0 <= seed_sd < 1:
        wrong.append(f"seed_sd={seed_sd} (from 0 to below 1)")
    if not 0 <= repeat <= 1:
        wrong.append(f"repeat={repeat} (from 0 to 1)")
    if wrong:
        raise ConfigError(
            f"expected a plan that can be judged, got {', '.join(wrong)}", "all shares are fractions of one"
        )
