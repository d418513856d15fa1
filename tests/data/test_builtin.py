import numpy as np
import pytest

from limbeck.core.errors import ConfigError
from limbeck.data.builtin import BUILTIN, load


@pytest.mark.parametrize("name", BUILTIN)
def test_every_builtin_set_loads(name):
    x, y = load(name)
    assert x.dtype == np.float32 and x.ndim == 2 and len(x) == len(y) and np.isfinite(x).all()


def test_classes_come_by_name_where_they_have_names():
    assert set(load("iris")[1]) == {"setosa", "versicolor", "virginica"} and load("digits")[1].max() == 9


def test_an_unknown_set_is_refused():
    with pytest.raises(ConfigError, match="a built-in data set, got 'digit'\n\ndid you mean 'digits'"):
        load("digit")
    with pytest.raises(ConfigError, match="got 'imagenet'\n\nknown: digits, breast_cancer"):
        load("imagenet")
