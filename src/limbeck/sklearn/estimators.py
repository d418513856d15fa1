"""Estimators of scikit-learn that fit a small network to a teacher's answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from limbeck.data.data import Data
from limbeck.models.estimators import class_name
from limbeck.objectives.base import Objective, Sum
from limbeck.sklearn import learning, teachers
from limbeck.sklearn.rows import Array, Given, ParameterError, merged, weighing
from limbeck.train.plan import TrainSpec

_FEW = 20  # rows; of fewer none are held out, and the last state is kept
_LEAST, _MOST, _PASSES = 1_000, 20_000, 40


class _Distilled(BaseEstimator):  # type: ignore[misc]
    """What both estimators share; the documentation is theirs."""

    def __init__(
        self,
        teacher: Any = None,
        student: Any = "mlp(hidden=[32])",
        *,
        objective: str | Objective | Sum = "auto",
        steps: int | Literal["auto"] | TrainSpec = "auto",
        seeds: int = 1,
        validation_fraction: float | None = 0.2,
        test_fraction: float | None = None,
        random_state: Any = None,
        out: str | Path | None = None,
    ) -> None:
        self.teacher = teacher
        self.student = student
        self.objective = objective
        self.steps = steps
        self.seeds = seeds
        self.validation_fraction = validation_fraction
        self.test_fraction = test_fraction
        self.random_state = random_state
        self.out = out

    def _plan(self, rows: int) -> TrainSpec:
        """How students are trained; "auto" is 40 passes over the rows, at least 1,000 and at most 20,000 steps."""
        if isinstance(self.steps, TrainSpec):
            return self.steps if self.steps.steps != "auto" or self.steps.epochs is not None else self._auto(rows)
        if self.steps == "auto":
            return self._auto(rows)
        if isinstance(self.steps, bool) or not isinstance(self.steps, int | np.integer) or self.steps < 1:
            raise ParameterError(
                f"expected steps as 'auto', a whole number from 1 or a TrainSpec, got {self.steps!r}", "steps=1000"
            )
        return TrainSpec(steps=int(self.steps))

    def _auto(self, rows: int) -> TrainSpec:
        plan = self.steps if isinstance(self.steps, TrainSpec) else TrainSpec()
        return replace(plan, steps=int(np.clip(_PASSES * rows // plan.batch_size, _LEAST, _MOST)))

    def _refuse_parameters(self) -> None:
        if isinstance(self.seeds, bool) or not isinstance(self.seeds, int | np.integer) or self.seeds < 1:
            raise ParameterError(f"expected seeds as a whole number from 1, got {self.seeds!r}", "seeds=1")
        for name in ("validation_fraction", "test_fraction"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ParameterError(f"expected {name} between 0 and 1, got {value!r}", "None holds no rows out")
        if self.out is not None and self.test_fraction is None:
            raise ParameterError(
                f"expected test_fraction for the run that is kept in {self.out}: a run is judged on test rows",
                "test_fraction=0.2, or leave out=None",
            )

    def _learn(self, given: Given, asked_weight: bool, task: dict[str, Any]) -> None:
        """Train and keep the student; `task` says of `Data` what the targets are."""
        self._refuse_parameters()
        classifies = "classes" in task
        default = teachers.default_teacher(classifies, len(given))
        source = teachers.source_of(default if self.teacher is None else self.teacher)
        if teachers.takes_weights(source):
            given = merged(given)
        elif asked_weight:
            raise ParameterError(
                f"expected a teacher that takes sample weights, {type(self.teacher).__name__} does not",
                "fit it yourself and give the fitted one, or leave the weights out",
            )
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        data, held = self._data(given, seed, task)
        labels = self._labels(data)
        asked = learning.Asked(
            data, held, source, self.student, self.objective, self._plan(len(data.train)), int(self.seeds), seed, labels
        )
        learned = learning.learn(asked) if self.test_fraction is None else learning.run(asked, self.out)
        self.network_, self.teacher_, self.run_ = learned.network, learned.teacher, learned.facts
        self._task, self._preprocess = data.tasks["main"], data.preprocess
        self._double = isinstance(self.student, str) and ":" not in self.student
        if self._double:
            self.network_ = self.network_.double()
        for name in ("scorecard_", "verdict_"):
            self.__dict__.pop(name, None)  # of an earlier fit
        if learned.scorecard is not None:
            self.scorecard_, self.verdict_ = learned.scorecard, learned.scorecard.get("verdict")

    def _data(self, given: Given, seed: int, task: dict[str, Any]) -> tuple[Data, bool]:
        """The rows as limbeck reads them, and whether some are held out for validation."""
        y = np.array(task["classes"], dtype=object)[given.y] if "classes" in task else given.y
        test = self.test_fraction
        held = self.validation_fraction is not None and (len(given) >= _FEW or test is not None)
        more: dict[str, Any] = (
            {"validation_fraction": self.validation_fraction} if held else {"validation": (given.x, y)}
        )
        if test is not None:
            if not held:
                raise ParameterError(
                    "expected validation_fraction beside test_fraction, got None", "validation_fraction=0.2"
                )
            more["test_fraction"] = test
        return Data(train=(given.x, y), weights=given.weight, seed=seed, **task, **more), held

    def _labels(self, data: Data) -> Any:
        raise NotImplementedError

    def _answers(self, x: Any) -> Array:
        """What the student says of rows, logits [N, C] or natural values [N, 1]."""
        check_is_fitted(self, "network_")
        x = validate_data(self, x, dtype=[np.float64, np.float32], reset=False)
        return learning.answered(self.network_, self._preprocess.encode(x), self._double)


class DistilledClassifier(ClassifierMixin, _Distilled):  # type: ignore[misc]
    """A small network with the decisions of a teacher, as a classifier of scikit-learn.

        clf = DistilledClassifier(RandomForestClassifier(), "mlp(hidden=[32])", random_state=0).fit(X, y)

    teacher              an estimator (fitted, or fitted here), a callable X -> probabilities or logits [N, C] in the
                         order of the sorted classes, the name of a network, "sklearn:NAME(...)"; None: a gradient
                         boosting
    student              what `lb.distill` takes: the name of a network, a factory or a module
    objective            as in `lb.distill`
    steps                optimiser steps, a TrainSpec, or "auto": 40 passes, at least 1,000 and at most 20,000 steps
    seeds                number of students that are trained; the one that validates best is kept
    validation_fraction  of the rows, to keep the state that fits their labels best; None, or fewer than 20 rows: the
                         last state is kept
    test_fraction        of the rows, for a whole run with a control: then there are `scorecard_` and `verdict_`
                         (of three seeds and more); None: no row is held out for that
    random_state         everything that is random comes of it
    out                  where that run is kept (it is made anew with each fit); None: a temporary folder

    Equal rows count as one that weighs their sum, so that a weight means what a repetition means. Fitted attributes:
    `classes_`, `n_features_in_`, `feature_names_in_`, `network_` (a torch module), `teacher_` (what it learned from)
    and `run_` (facts of the training). Raises ConfigError, which is a ValueError where parameters are wrong.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> DistilledClassifier:
        """Fit the teacher where it is not, ask it about the rows, and train the student on what it says."""
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], ensure_min_samples=2)
        check_classification_targets(y)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        given = weighing(X, y, weight)
        self.classes_, ids = np.unique(given.y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ParameterError(
                f"expected at least two classes in y, got the one class {class_name(self.classes_[0])}",
                "give rows of another",
            )
        names = [class_name(value) for value in self.classes_]
        task = {"task": "classification", "classes": names}
        self._learn(Given(given.x, ids, given.weight), sample_weight is not None, task)
        return self

    def _labels(self, data: Data) -> Any:
        classes = self.classes_
        return lambda ids: classes[ids]

    def decision_function(self, X: Any) -> Array:
        """Logits [N, C]; of two classes how far that of the second lies above that of the first, [N]."""
        logits = self._answers(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> Array:
        """Probabilities [N, C] in the order of `classes_`."""
        logits = self._answers(X)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def predict(self, X: Any) -> Array:
        """The likeliest class [N] of each row."""
        best = self._answers(X).argmax(axis=1)
        return np.asarray(self.classes_[best])


class DistilledRegressor(RegressorMixin, _Distilled):  # type: ignore[misc]
    """A small network with the values of a teacher, as a regressor of scikit-learn.

        reg = DistilledRegressor(RandomForestRegressor(), random_state=0).fit(X, y)

    Its parameters and fitted attributes are those of `DistilledClassifier`; a callable teacher gives values [N] in the
    units of y. One target.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> DistilledRegressor:
        """Fit the teacher where it is not, ask it about the rows, and train the student on what it says."""
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], ensure_min_samples=2, y_numeric=True)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        given = weighing(X, np.asarray(y, dtype=np.float64), weight)
        self._learn(given, sample_weight is not None, {"task": "regression"})
        return self

    def _labels(self, data: Data) -> Any:
        task = data.tasks["main"]
        return lambda values: np.asarray(task.natural_targets(values), dtype=np.float64)[:, 0]

    def predict(self, X: Any) -> Array:
        """Values [N] in the units of y."""
        values = self._answers(X)
        return np.asarray(self._task.predict(values))
