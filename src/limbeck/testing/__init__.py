"""The contract suite for losses: it says whether an objective, built in or your own, keeps what DESIGN promises.

    from limbeck.testing import check_objective
    check_objective(MyLoss(sharpness=2.0))

Golden numbers prove that a loss is *that* loss; this proves that it is a proper one: that its scale, its masks, its
counts and its gradients are what the trainer and the reader take them for.
"""

from __future__ import annotations

from limbeck.testing.contracts import CONTRACTS as CONTRACTS
from limbeck.testing.contracts import check_objective as check_objective
from limbeck.testing.contracts import contract_names as contract_names
from limbeck.testing.contracts import failures as failures
from limbeck.testing.samples import Sample as Sample
from limbeck.testing.samples import make_sample as make_sample
