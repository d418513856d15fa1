"""Losses on embeddings against their formulas and against sentence-transformers."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from torch import nn

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.objectives import (
    ContrastiveKD,
    CoSENT,
    CosineRegression,
    EmbeddingCosine,
    EmbeddingMSE,
    InfoNCE,
    MarginMSE,
)
from limbeck.objectives.base import Shapes, mean_of
from limbeck.objectives.embedding.contrastive_kd import contrastive_kd_loss
from limbeck.objectives.embedding.cosine_regression import cosent_loss, cosine_regression_loss
from limbeck.objectives.embedding.embedding_cosine import embedding_cosine_loss
from limbeck.objectives.embedding.embedding_mse import embedding_mse_loss
from limbeck.objectives.embedding.info_nce import info_nce_loss
from limbeck.objectives.embedding.margin_mse import margin_mse_loss
from limbeck.objectives.pairs import all_cosines
from limbeck.signals import Batch, Signals
from limbeck.train.ranks import Ranks
from limbeck.train.steps import check_plan


def texts(rows, width, seed):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 2 * width, generator=draw, dtype=torch.float64)


def batch(rows, scores=None, mask=None):
    keys = np.stack([np.zeros(rows, np.uint64), np.arange(rows, dtype=np.uint64)], axis=1)
    scores = torch.linspace(0, 1, rows, dtype=torch.float64) if scores is None else scores
    masks = {} if mask is None else {"main": mask}
    return Batch(keys, targets={"main": scores[:, None]}, label_mask=masks)


def value(objective, student, teacher=None, rows=None, head=None):
    said = None if teacher is None else Signals({"main": teacher})
    return float(mean_of(*objective.loss(Signals({"main": student}), said, rows or batch(len(student)), head)).detach())


@pytest.fixture(scope="module")
def model():
    return SentenceTransformer(modules=[nn.Identity()], device="cpu")


def test_info_nce_is_multiple_negatives_ranking_of_sentence_transformers(model):
    first, second = texts(6, 5, 0).chunk(2, dim=1)
    theirs = losses.MultipleNegativesRankingLoss(model).compute_loss_from_embeddings([first, second], None)
    assert float(info_nce_loss(all_cosines(first, second))) == pytest.approx(float(theirs), rel=1e-9)
    assert value(InfoNCE(), torch.cat([first, second], 1)) == pytest.approx(float(theirs), rel=1e-9)


def test_cosent_and_cosine_regression_are_those_of_sentence_transformers(model):
    both, scores = texts(7, 5, 1), torch.tensor([0.1, 0.5, 0.5, 0.9, 0.0, 1.0, 0.3], dtype=torch.float64)
    first, second = both.chunk(2, dim=1)
    cosine = torch.cosine_similarity(first, second)
    for loss, theirs, function in (
        (CoSENT(), losses.CoSENTLoss(model), cosent_loss),
        (CosineRegression(), losses.CosineSimilarityLoss(model), cosine_regression_loss),
    ):
        wanted = float(theirs.compute_loss_from_embeddings([first, second], scores))
        assert float(function(cosine, scores)) == pytest.approx(wanted, rel=1e-6)  # it takes scores in single precision
        assert value(loss, both, rows=batch(7, scores)) == pytest.approx(wanted, rel=1e-6)


def test_rows_without_a_label_are_neither_queries_nor_negatives():
    both, mask = texts(6, 5, 2), torch.tensor([True, True, False, True, False, True])
    for loss in (InfoNCE(), CoSENT(), CosineRegression()):
        scores = torch.linspace(0, 1, 6, dtype=torch.float64)
        kept = value(loss, both[mask], rows=batch(4, scores[mask]))
        assert value(loss, both, rows=batch(6, scores, mask)) == pytest.approx(kept, rel=1e-9)


def test_cosine_and_squared_distance_of_unit_vectors_are_two_to_one():
    own, other = (nn.functional.normalize(texts(6, 5, seed).reshape(12, 5)).reshape(6, 10) for seed in (3, 4))
    assert value(EmbeddingMSE(), own, other) == pytest.approx(2 * value(EmbeddingCosine(), own, other))
    halves = [float(embedding_cosine_loss(a, b)) for a, b in zip(own.chunk(2, 1), other.chunk(2, 1), strict=True)]
    assert value(EmbeddingCosine(), own, other) == pytest.approx(np.mean(halves))
    halves = [float(embedding_mse_loss(a, b)) for a, b in zip(own.chunk(2, 1), other.chunk(2, 1), strict=True)]
    assert value(EmbeddingMSE(), own, other) == pytest.approx(np.mean(halves))


@pytest.mark.parametrize("loss", [EmbeddingCosine(), EmbeddingMSE()])
def test_a_projection_is_trained_where_widths_differ_and_nowhere_else(loss):
    same = Shapes(student_outputs={"main": (10,)}, teacher_outputs={"main": (10,)})
    wider = Shapes(student_outputs={"main": (10,)}, teacher_outputs={"main": (16,)})
    assert loss.heads(same) is None
    head = loss.heads(wider).double()
    assert [tuple(p.shape) for p in head.parameters()] == [(8, 5), (8,)]
    assert np.isfinite(value(loss, texts(4, 5, 5), texts(4, 8, 6), head=head))
    bare = type(loss)(projection="none")
    assert bare.heads(wider) is None
    with pytest.raises(ShapeMismatch, match="expected embeddings of one length, got 5 from the student and 8 from the"):
        value(bare, texts(4, 5, 5), texts(4, 8, 6))


def test_margins_are_those_of_the_teacher_whatever_is_added_to_a_query():
    own, other = (all_cosines(*texts(5, 4, seed).chunk(2, 1)) for seed in (7, 8))
    margins = [(s.diagonal()[:, None] - s) for s in (own, other)]
    assert float(margin_mse_loss(own, other)) == pytest.approx(float((margins[0] - margins[1]).square().mean()))
    assert float(margin_mse_loss(other + torch.arange(5.0)[:, None], other)) == pytest.approx(0, abs=1e-12)
    assert value(MarginMSE(scale=2.0), texts(5, 4, 7), texts(5, 4, 8)) == pytest.approx(
        4 * value(MarginMSE(), texts(5, 4, 7), texts(5, 4, 8))
    )


def test_contrastive_kd_is_the_divergence_of_both_directions():
    own, other = (all_cosines(*texts(5, width, seed).chunk(2, 1)) for width, seed in ((4, 9), (6, 10)))

    def divergence(s, t):
        return nn.functional.kl_div(
            (20 * s).log_softmax(-1), (20 * t).log_softmax(-1), log_target=True, reduction="batchmean"
        )

    wanted = (divergence(own, other) + divergence(own.T, other.T)) / 2
    assert value(ContrastiveKD(), texts(5, 4, 9), texts(5, 6, 10)) == pytest.approx(float(wanted), rel=1e-9)
    assert float(contrastive_kd_loss(own, other)) == pytest.approx(float(divergence(own, other)), rel=1e-9)


def test_a_text_is_not_compared_with_itself():
    single = texts(5, 4, 11)[:, :4]
    student = texts(5, 3, 12)[:, :3]
    twice, own = torch.cat([single, single], 1), torch.cat([student, student], 1)
    off = ~torch.eye(5, dtype=torch.bool)
    s, t = (20 * all_cosines(x, x)[off].reshape(5, 4) for x in (student, single))
    wanted = nn.functional.kl_div(s.log_softmax(-1), t.log_softmax(-1), log_target=True, reduction="batchmean")
    assert value(ContrastiveKD(), own, twice) == pytest.approx(float(wanted), rel=1e-6)


def test_outputs_that_are_no_embeddings_are_refused():
    with pytest.raises(
        ShapeMismatch, match=r"expected the embeddings of both texts of a row from the student, .*\[4, 7\]"
    ):
        value(InfoNCE(), torch.randn(4, 7))


@pytest.mark.parametrize("loss", [InfoNCE(), ContrastiveKD(), MarginMSE(), CoSENT()])
def test_a_batch_of_one_row_is_refused(loss):
    with pytest.raises(ConfigError, match=f"expected a batch of at least 2 rows for {type(loss).__name__.lower()}"):
        check_plan(1.0 * loss, 1, Ranks.current(), [1])
    check_plan(1.0 * loss, 1, Ranks.current(), [2])
