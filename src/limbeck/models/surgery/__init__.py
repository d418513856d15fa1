"""Students from teachers of text: models of transformers with fewer layers, less width or a smaller vocabulary."""

from limbeck.models.surgery.anatomy import Anatomy, tap_paths
from limbeck.models.surgery.layers import keep_layers, layer_importance

__all__ = ["Anatomy", "keep_layers", "layer_importance", "tap_paths"]
