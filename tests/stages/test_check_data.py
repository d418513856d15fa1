import numpy as np
import pytest

from limbeck.core.errors import ConfigError
from limbeck.data.data import Data
from limbeck.stages.verbs import check_data

X, Y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2


def test_data_without_test_rows_is_refused_before_any_work():
    with pytest.raises(ConfigError, match=r"expected test rows, got none\n\ngive lb.Data"):
        check_data(Data(train=(X, Y)))


def test_a_metric_that_the_task_has_not_is_refused_before_any_work():
    given = {"train": (X, Y), "test": (X + 100, Y)}
    with pytest.raises(
        ConfigError, match=r"a metric for a classification task, got 'acuracy'\n\ndid you mean 'accuracy'"
    ):
        check_data(Data(**given, metric="acuracy"))
    for metric in (None, "macro_f1", lambda y_true, y_pred: 0.0):
        check_data(Data(**given, metric=metric))
