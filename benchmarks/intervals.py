"""How far the intervals of `limbeck.evaluate.stats` hold, by simulation; README.md has the figures.

    python benchmarks/intervals.py [--runs 1000] [--quick] [--json FILE]

Simulated data. A model m (student, control, teacher) of seed s is right on row r where
    centre[m] + seed[m, s] + difficulty[r] + own[m, r] + noise[m, s, r] > 0
with normal parts. Accuracies, discordance (a student and a control of one seed: 8 % of rows) and its repeatability
over seeds (0.3) are set exactly by the bivariate normal; "spread" is the standard deviation over seeds of the
DIFFERENCE student - control, in points of accuracy. A `pairing` correlation couples the arms' seed effects, `ratio`
is the student's seed effect over the control's.

The strict oracle knows the variance of the estimate and takes z = 1.96. The scale oracle knows the shares of the
components and must estimate their common scale from the seeds: the t quantile of Satterthwaite's degrees of freedom
at the true components, times the mean of the estimated scale.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from limbeck.evaluate.components import Moments, half_width, spread
from limbeck.evaluate.power import DISCORDANCE, REPEAT, power

Array = np.ndarray[Any, Any]

SEEDS, ROWS, SPREADS = (3, 5, 10), (200, 1_000, 10_000), (0.0, 0.5, 1.0)
MIDDLE, TEACHER_ACCURACY = 0.91, 0.93  # student and control lie half the effect above and below the middle
EFFECT = 0.02
STRICT = stats.norm.ppf(0.975)


@dataclass(frozen=True)
class World:
    """Standard deviations of the latent parts; the noise of one seed on one row has 1."""

    difficulty: float
    own: float

    @property
    def total(self) -> float:
        return float(np.sqrt(self.difficulty**2 + self.own**2 + 1))


def both_right(p: float, correlation: float) -> float:
    z = special.ndtri(p)
    return float(stats.multivariate_normal.cdf([z, z], cov=[[1, correlation], [correlation, 1]]))


@cache
def world(discordance: float = DISCORDANCE, repeat: float = REPEAT, p: float = MIDDLE) -> World:
    """Find the latent parts that give the discordance of two arms and its repeatability over seeds."""

    def find(target: float) -> float:
        return float(optimize.brentq(lambda c: 2 * (p - both_right(p, c)) - target, 0.0, 0.99999))

    across, within = find(discordance), find(discordance * (1 - repeat))
    noise = 1 - within
    return World(difficulty=float(np.sqrt(across / noise)), own=float(np.sqrt((within - across) / noise)))


@dataclass(frozen=True)
class Cell:
    """One setting of the simulation; `spread` in points of the paired difference."""

    seeds: int
    rows: int
    spread: float
    effect: float = 0.0
    pairing: float = 0.0
    ratio: float = 1.0

    def seed_effects(self) -> tuple[float, float]:
        """Latent seed standard deviations of student and control."""
        w = world()
        slope = stats.norm.pdf(special.ndtri(MIDDLE)) / w.total  # accuracy per latent shift
        unit = np.sqrt(1 + self.ratio**2 - 2 * self.pairing * self.ratio)
        control = self.spread / 100 / slope / unit
        return float(self.ratio * control), float(control)

    def centres(self) -> Array:
        """Latent centres of student, control and teacher that give the accuracies, seed effects included."""
        w = world()
        student, control = self.seed_effects()
        wanted = (MIDDLE + self.effect / 2, MIDDLE - self.effect / 2, TEACHER_ACCURACY)
        extra = (student, control, 0.0)
        return np.array([special.ndtri(p) * np.hypot(w.total, e) for p, e in zip(wanted, extra, strict=True)])


@dataclass(frozen=True)
class Sums:
    """Moments of (student, control, teacher) for every run, and the seed means for the bootstrap."""

    moments: Moments
    by_row: Array | None  # [runs, 2, N], kept for the bootstrap only
    by_seed: Array  # [runs, 2, S]


def simulate(cell: Cell, runs: int, seed: int, keep_rows: bool = False) -> Sums:
    """Draw `runs` data sets, in chunks that fit the cache, and keep their sums."""
    rng = np.random.default_rng([seed, cell.seeds, cell.rows, int(cell.spread * 10), int(cell.effect * 1000)])
    chunk = max(1, 400_000 // (cell.seeds * cell.rows))
    parts, rows_kept, seeds_kept = [], [], []
    for start in range(0, runs, chunk):
        drawn = _draw(cell, min(chunk, runs - start), rng)
        m, by_row, by_seed = _moments(*drawn, cell)
        parts.append(m)
        seeds_kept.append(by_seed)
        if keep_rows:
            rows_kept.append(by_row)
    joined = {name: np.concatenate([getattr(m, name) for m in parts]) for name in ("mean", "seeds", "rows", "rest")}
    moments = Moments(**joined, n_seeds=cell.seeds, n_rows=cell.rows)
    return Sums(moments, np.concatenate(rows_kept) if keep_rows else None, np.concatenate(seeds_kept))


def _draw(cell: Cell, runs: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Rights and wrongs [runs, 2, S, N] of student and control, [runs, N] of the teacher."""
    w, centres = world(), cell.centres()

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape, dtype=np.float32)

    z = normal(2, runs, cell.seeds)
    student, control = cell.seed_effects()
    effects = np.stack([student * (cell.pairing * z[1] + np.sqrt(1 - cell.pairing**2) * z[0]), control * z[1]], axis=1)
    difficulty = w.difficulty * normal(runs, cell.rows)
    arms = difficulty[:, None] + w.own * normal(runs, 2, cell.rows) + centres[:2, None].astype(np.float32)
    noise = normal(runs, 2, cell.seeds, cell.rows)
    right = noise < arms[:, :, None] + effects[..., None].astype(np.float32)
    teacher = difficulty + np.float32(w.own) * normal(runs, cell.rows) + np.float32(centres[2])
    return right, normal(runs, cell.rows) < teacher


def _moments(right: Array, teacher: Array, cell: Cell) -> tuple[Moments, Array, Array]:
    runs, s, n = len(right), cell.seeds, cell.rows
    by_row = right.sum(axis=2, dtype=np.float32)  # [runs, 2, N]
    by_seed = right.sum(axis=3, dtype=np.int64) / n  # [runs, 2, S]
    columns = np.concatenate([by_row / s, teacher[:, None].astype(np.float32)], axis=1)  # means over seeds
    seeds = np.concatenate([by_seed, np.broadcast_to(teacher.mean(axis=1)[:, None, None], (runs, 1, s))], axis=1)
    mean = seeds.mean(axis=2)
    squares = np.empty((runs, 3, 3))
    flat = columns.astype(np.float64)
    cross = s * flat @ flat.transpose(0, 2, 1)  # sums of products of column means, times S
    squares[:] = cross  # right wherever one factor is the teacher, which has no seeds
    for k in range(2):
        squares[:, k, k] = by_seed[:, k].sum(axis=1) * n
    both = (right[:, 0] & right[:, 1]).sum(axis=(1, 2))
    squares[:, 0, 1] = squares[:, 1, 0] = both
    centre = s * n * mean[:, :, None] * mean[:, None, :]
    of_seeds = n * seeds @ seeds.transpose(0, 2, 1) - centre
    of_rows = cross - centre
    rest = squares - centre - of_seeds - of_rows
    moments = Moments(mean, of_seeds / (s - 1), of_rows / (n - 1), rest / ((s - 1) * (n - 1)), s, n)
    return moments, by_row, by_seed


DIFFERENCE, SUM = np.array([1.0, -1.0, 0.0]), np.array([1.0, 1.0, 0.0])


@dataclass(frozen=True)
class Result:
    """What one cell gave; percentages, and widths as ratios to the oracles'."""

    seeds: int
    rows: int
    spread: float
    coverage: float
    width_strict: float
    width_scale: float
    retention_coverage: float
    retention_width: float
    arm_coverage: float
    false_verdicts: float
    power: float
    promised: float
    seconds: float


def _true_variance(m: Moments, contrast: Array) -> tuple[float, float, float]:
    """Variance of the mean, its seed part and its rest part, from the average of the unbiased estimates."""
    size = m.n_seeds * m.n_rows
    a, b, e = (float(np.einsum("k,rkl,l->r", contrast, x, contrast).mean()) for x in (m.seeds, m.rows, m.rest))
    return (a + b - e) / size, (a - e) / size, e / size


def scale_oracle(m: Moments, contrast: Array) -> float:
    """Mean half-width of an oracle that knows the ratio of the components and estimates their scale."""
    whole, of_seeds, of_rest = _true_variance(m, contrast)
    df = whole**2 / ((max(of_seeds, 0) + of_rest) ** 2 / (m.n_seeds - 1) + (whole - of_seeds) ** 2 / (m.n_rows - 1))
    df = float(np.clip(df, m.n_seeds - 1, 1e6))
    shrink = np.sqrt(2 / df) * np.exp(special.gammaln((df + 1) / 2) - special.gammaln(df / 2))
    return float(stats.t.ppf(0.975, df) * shrink * np.sqrt(whole))


def run_cell(cell: Cell, runs: int, seed: int) -> Result:
    """Measure one cell without a difference (verdicts) and with one (coverage, power, width)."""
    began = time.perf_counter()
    null, moved = (simulate(Cell(**(asdict(cell) | {"effect": e})), runs, seed) for e in (0.0, EFFECT))
    floor = 2 / cell.rows**2
    halves = [half_width(spread(s.moments, DIFFERENCE, SUM, ordered=True, floor=floor)) for s in (null, moved)]
    estimates = [s.moments.mean @ DIFFERENCE for s in (null, moved)]
    false = np.abs(estimates[0]) > halves[0]
    missed = np.abs(estimates[1] - EFFECT) > halves[1]
    strict = np.mean(
        [
            h.mean() / (STRICT * np.sqrt(_true_variance(s.moments, DIFFERENCE)[0]))
            for h, s in zip(halves, (null, moved), strict=False)
        ]
    )
    scale = np.mean(
        [h.mean() / scale_oracle(s.moments, DIFFERENCE) for h, s in zip(halves, (null, moved), strict=False)]
    )
    kept = (MIDDLE + EFFECT / 2) / TEACHER_ACCURACY
    contrast, sibling = np.array([1.0, 0.0, -kept]), np.array([0.0, 1.0, -kept])
    half = half_width(spread(moved.moments, contrast, sibling))
    inside = np.abs(moved.moments.mean @ contrast) <= half
    kept_width = half.mean() / (STRICT * np.sqrt(_true_variance(moved.moments, contrast)[0]))
    alone = np.array([0.0, 1.0, 0.0])
    arm = np.abs(moved.moments.mean[:, 1] - MIDDLE + EFFECT / 2) <= half_width(
        spread(moved.moments, alone, DIFFERENCE * [1, 0, 0])
    )
    return Result(
        cell.seeds,
        cell.rows,
        cell.spread,
        coverage=100 * (1 - missed.mean() / 2 - false.mean() / 2),
        width_strict=float(strict),
        width_scale=float(scale),
        retention_coverage=100 * float(inside.mean()),
        retention_width=float(kept_width),
        arm_coverage=100 * float(arm.mean()),
        false_verdicts=100 * float(false.mean()),
        power=100 * float((estimates[1] - halves[1] > 0).mean()),
        promised=100 * power(EFFECT, cell.rows, cell.seeds, seed_sd=cell.spread / 100),
        seconds=time.perf_counter() - began,
    )


# name: what is asked of a cell, and whether it holds; shares are percentages
GOALS = {
    "coverage at least 92 %": lambda r: r.coverage >= 92,
    "coverage 93 to 98 % at ten seeds": lambda r: r.seeds < 10 or 93 <= r.coverage <= 98,
    "width at most 1.3 of the scale oracle's": lambda r: r.width_scale <= 1.3,
    "at most 6.4 % false verdicts": lambda r: r.false_verdicts <= 6.4,
    "power within 10 points of what was promised": lambda r: abs(r.power - r.promised) <= 10,
}
COLUMNS = (
    ("seeds", "seeds", "{:5d}"), ("rows", "rows", "{:6d}"), ("spread", "spread", "{:6.1f}"),
    ("coverage", "covers", "{:6.1f}"), ("width_scale", "width", "{:5.2f}"), ("width_strict", "strict", "{:6.2f}"),
    ("retention_coverage", "kept", "{:5.1f}"), ("arm_coverage", "arm", "{:5.1f}"),
    ("false_verdicts", "false", "{:5.1f}"), ("power", "power", "{:5.1f}"), ("promised", "promise", "{:7.1f}"),
)  # fmt: skip


def line(result: Result) -> str:
    return "  ".join(form.format(getattr(result, name)) for name, _, form in COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="simulated runs a cell, with and without a difference")
    parser.add_argument("--quick", action="store_true", help="200 runs a cell, at most 1,000 rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write every cell to a file too")
    options = parser.parse_args()
    runs, rows = (200, ROWS[:2]) if options.quick else (options.runs, ROWS)
    print(f"{runs} runs a cell; percentages; width over the scale oracle's, strict: over the strict one's")
    print("  ".join(title.rjust(len(form.format(0))) for _, title, form in COLUMNS))
    results = []
    for seeds in SEEDS:
        for count in rows:
            for points in SPREADS:
                results.append(run_cell(Cell(seeds, count, points), runs, options.seed))
                print(line(results[-1]), flush=True)
    for goal, holds in GOALS.items():
        missed = [r for r in results if not holds(r)]
        cells = ", ".join(f"{r.seeds} seeds x {r.rows} rows x {r.spread}" for r in missed)
        print(f"{goal}: {len(results) - len(missed)} of {len(results)} cells" + (f"; not in {cells}" if missed else ""))
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in results], indent=2) + "\n")


if __name__ == "__main__":
    main()
