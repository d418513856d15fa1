"""Students from teachers of text: models of transformers with fewer layers, less width or a smaller vocabulary."""

from limbeck.models.surgery.anatomy import Anatomy, tap_paths
from limbeck.models.surgery.layers import keep_layers, layer_importance
from limbeck.models.surgery.report import describe
from limbeck.models.surgery.static import static_embeddings
from limbeck.models.surgery.vocabulary import shrink_vocabulary
from limbeck.models.surgery.width import shrink

__all__ = [
    "Anatomy",
    "describe",
    "keep_layers",
    "layer_importance",
    "shrink",
    "shrink_vocabulary",
    "static_embeddings",
    "tap_paths",
]
