"""Every registered method passes the shared check."""

from __future__ import annotations

from typing import Any

import pytest
import transformers

from harness.check import check_method
from harness.registry import method_class, method_names
from harness.text.embedded import byte_tokenizer

# 20,000 snippets take a minute where attention is global; `harness check-method NAME` does that, in 2 GB. What grows
# with the square of the length is found as soon: a tenth of the length's third, a sixth of the memory.
SHORT = {"snippets": 2_000, "memory": 320 << 20}
# No check asks how long a window, how deep a stack of equal layers or how large a batch is.
SMALL: dict[str, Any] = {
    "desc": {"visual_length": 64, "tcn_levels": 3, "visual_layers": 1},
    "dsanet": {"visual_length": 64, "decoder_depth": 2, "text_adapt_until": 1},
    "vadclip": {"visual_length": 64},
}
BATCH = {"batch": 4}


@pytest.fixture(scope="module")
def shallow_tower(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A text tower of one narrow layer: how deep and wide the frozen tower is, no check asks either."""
    folder, tokenizer = tmp_path_factory.mktemp("tower"), byte_tokenizer()
    sizes = {"hidden_size": 128, "intermediate_size": 128, "projection_dim": 512, "num_attention_heads": 2}
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer), num_hidden_layers=1, eos_token_id=tokenizer.eos_token_id, **sizes
    )
    transformers.CLIPTextModelWithProjection(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", method_names())
def test_every_registered_method_passes(name: str, shallow_tower: str) -> None:
    cls = method_class(name)
    tower = shallow_tower if cls.card.needs_text else None
    batch = BATCH if "batch" in cls.Config.model_fields else {}
    check_method(name, overrides={**batch, **SMALL.get(name, {})}, text_tower=tower, **SHORT)
