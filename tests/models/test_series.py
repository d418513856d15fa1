"""The small network of series."""

import pytest
import torch

from limbeck.core.errors import ShapeMismatch
from limbeck.models.zoo import build, canonical


@pytest.mark.parametrize("shape", [(30,), (3, 30)])
@pytest.mark.parametrize(
    "text", ["series_cnn", "series_cnn(level=True)", "series_cnn(width=4, depth=4, reach=1, hidden=8, dropout=0.1)"]
)
def test_it_takes_series_of_one_channel_and_of_several(shape, text):
    network = build(text, shape, {"main": 5}).eval()
    assert network(torch.randn(2, *shape)).shape == (2, 5)


def test_a_forecast_depends_on_when_and_an_average_does_not():
    late = torch.zeros(1, 40)
    late[0, 20] = 1.0
    early = late.roll(-3, dims=1)
    for text, same in (("series_cnn(depth=2, reach=1)", True), ("series_cnn(depth=2, reach=1, hidden=8)", False)):
        network = build(text, (40,), {"main": 2}).eval()
        assert torch.allclose(network(late), network(early), atol=1e-6) is same


def test_a_level_that_moves_moves_the_forecast_along_a_line():
    network = build("series_cnn(width=4, depth=2, hidden=8, level=True)", (2, 20), {"main": 3}).eval()
    series = torch.randn(1, 2, 20)
    at = [network(series + step) for step in (0.0, 1.0, 7.0)]
    torch.testing.assert_close(at[2] - at[0], 7 * (at[1] - at[0]), rtol=1e-3, atol=1e-4)
    assert ((at[1] - at[0]).abs() > 1e-3).all()


def test_what_is_no_series_is_refused():
    with pytest.raises(ShapeMismatch, match=r"series \[times\] or \[channels, times\] for series_cnn, got inputs"):
        build("series_cnn", (3, 8, 8), {"main": 2})
    assert canonical("series_cnn(hidden=4)").startswith("series_cnn(width=32, depth=3, reach=3, hidden=4")
