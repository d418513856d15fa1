"""Series of different lengths in one network: the padding must not show."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.errors import ConfigError
from limbeck.models.series import series_cnn

NAN = float("nan")


def _ragged(lengths: list[int], channels: int, width: int) -> torch.Tensor:
    torch.manual_seed(0)
    rows = torch.randn(len(lengths), channels, max(lengths))
    out = torch.full((len(lengths), channels, width), NAN)
    for row, length in enumerate(lengths):
        out[row, :, :length] = rows[row, :, :length]
    return out


def _network(ragged: bool = True) -> torch.nn.Module:
    torch.manual_seed(1)
    return series_cnn((2, 12), width=6, depth=3, reach=2, ragged=ragged)[0]


def test_an_answer_does_not_depend_on_the_padding_and_may_be_longer_than_the_training_rows() -> None:
    network = _network()
    network(_ragged([12, 5, 9, 1], 2, 12))  # statistics that are not 0 and 1
    network.eval()
    short, wide = _ragged([12, 5, 9, 1], 2, 12), _ragged([12, 5, 9, 1], 2, 40)
    torch.testing.assert_close(network(short), network(wide), rtol=1e-5, atol=1e-6)
    alone = network(short[1:2, :, :5])
    torch.testing.assert_close(network(wide)[1:2], alone, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(network(short)[0], network(short)[1])


def test_training_does_not_depend_on_the_padding_either() -> None:
    answers, statistics, gradients = [], [], []
    for width in (12, 40):
        network = _network()
        said = network(_ragged([12, 5, 9, 1], 2, width))
        said.square().sum().backward()
        answers.append(said.detach())
        statistics.append(network.state_dict()["stages.2.1.running_var"])
        gradients.append([p.grad for p in network.parameters()])
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(statistics[0], statistics[1], rtol=1e-4, atol=1e-5)
    assert all(g is not None and bool(g.isfinite().all()) for g in gradients[0])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_rows_of_one_length_are_answered_as_by_the_plain_network() -> None:
    plain, ragged = _network(ragged=False), _network()
    rows = _ragged([12, 12, 12], 2, 12)
    torch.testing.assert_close(ragged(rows), plain(rows), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ragged.eval()(rows), plain.eval()(rows), rtol=1e-4, atol=1e-5)


def test_series_of_one_channel_are_taken_without_it() -> None:
    network = series_cnn((8,), width=4, depth=2, ragged=True)[0].eval()
    rows = _ragged([8, 3], 1, 8)
    torch.testing.assert_close(network(rows[:, 0]), network(rows))


@pytest.mark.parametrize("wrong", [{"hidden": 4}, {"level": True}])
def test_layers_that_need_one_length_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="expected ragged without hidden and level in series_cnn"):
        series_cnn((8,), ragged=True, **wrong)  # type: ignore[arg-type]
