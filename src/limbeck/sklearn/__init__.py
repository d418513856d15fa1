"""Distillation as scikit-learn knows it: estimators whose `fit` teaches a small network what a teacher answers."""

from limbeck.sklearn.estimators import DistilledClassifier, DistilledRegressor

__all__ = ["DistilledClassifier", "DistilledRegressor"]
