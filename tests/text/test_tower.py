"""The text tower against transformers' own forward, and where towers come from."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from harness.errors import UserError
from harness.runs import order
from harness.text.loading import load_text_tower
from harness.text.openai import from_openai_state
from harness.text.tower import TextTower

UCF = "normal abuse arrest arson assault burglary explosion fighting road_accidents robbery shooting shoplifting"
PROMPTS = tuple(word.replace("_", " ") for word in (UCF + " stealing vandalism").split())


@pytest.fixture(scope="module")
def tower() -> TextTower:
    return load_text_tower(None)


def test_equals_transformers_forward(tower: TextTower) -> None:
    ids = tower.tokenize(PROMPTS)
    padded = F.pad(ids, (0, 77 - ids.shape[1]), value=0)
    with torch.no_grad():
        whole = tower.model(input_ids=padded).text_embeds
        ours = tower.encode(PROMPTS)
        ours_padded = tower.project(tower(tower.embed(padded), tower.eot(padded)))
    torch.testing.assert_close(ours, whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours_padded, whole, rtol=1e-5, atol=1e-5)


def test_tokens(tower: TextTower) -> None:
    ids = tower.tokenize(["Riot", "riot", "road accidents", "a " * 100])
    end = tower.model.config.eos_token_id
    assert torch.equal(ids[0], ids[1])
    assert ids.shape == (4, 77)
    assert (ids.gather(1, tower.eot(ids)[:, None]) == end).all()
    assert tower.tokenize(["riot"]).shape[1] < 8


def test_embedded_tower_is_reproducible_and_leaves_the_generator_alone(tower: TextTower) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = load_text_tower(None)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(tower.encode(PROMPTS), again.encode(PROMPTS))
    assert "not CLIP" in tower.name


def test_embedded_prompts_are_moderately_alike(tower: TextTower) -> None:
    unit = F.normalize(tower.encode(PROMPTS), dim=1)
    others = (unit @ unit.T)[~torch.eye(len(PROMPTS), dtype=torch.bool)]
    assert others.min() > 0.2
    assert others.max() < 0.85


def test_frozen_but_gradient_flows(tower: TextTower) -> None:
    assert not any(p.requires_grad for p in tower.parameters())
    assert not tower.train().training
    embeddings = tower.embed(tower.tokenize(["riot"])).clone().requires_grad_()
    tower(embeddings, torch.tensor([3]))[0, 0].backward()
    assert embeddings.grad is not None
    assert embeddings.grad.abs().sum() > 0


def test_after_layer_changes_what_is_fed_on(tower: TextTower) -> None:
    ids = tower.tokenize(PROMPTS)
    seen: list[int] = []

    def note(index: int, hidden: torch.Tensor) -> torch.Tensor:
        seen.append(index)
        return hidden * 2 if index == 0 else hidden

    plain, changed = tower(tower.embed(ids), tower.eot(ids)), tower(tower.embed(ids), tower.eot(ids), note)
    assert seen == list(range(tower.layers))
    assert not torch.allclose(plain, changed)


def _openai_state(width: int, dim: int, layers: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw) * 0.1

    state = {"positional_embedding": normal(9, width), "text_projection": normal(width, dim)}
    state |= {"token_embedding.weight": normal(30, width), "logit_scale": torch.tensor(1.0)}
    state |= {"ln_final.weight": 1 + normal(width), "ln_final.bias": normal(width)}
    for i in range(layers):
        p = f"transformer.resblocks.{i}."
        state |= {p + "attn.in_proj_weight": normal(3 * width, width), p + "attn.in_proj_bias": normal(3 * width)}
        state |= {p + "attn.out_proj.weight": normal(width, width), p + "attn.out_proj.bias": normal(width)}
        state |= {p + "mlp.c_fc.weight": normal(4 * width, width), p + "mlp.c_fc.bias": normal(4 * width)}
        state |= {p + "mlp.c_proj.weight": normal(width, 4 * width), p + "mlp.c_proj.bias": normal(width)}
        for norm in ("ln_1", "ln_2"):
            state |= {p + norm + ".weight": 1 + normal(width), p + norm + ".bias": normal(width)}
    return state


def test_openai_names_against_plain_torch() -> None:
    width, heads = 16, 4
    state = _openai_state(width, 12, 2)
    tower = from_openai_state(state, heads)
    assert (tower.width, tower.dim, tower.layers, tower.context) == (16, 12, 2, 9)
    ids = torch.tensor([[28, 3, 4, 29, 0], [28, 5, 29, 0, 0]])
    x = state["token_embedding.weight"][ids] + state["positional_embedding"][:5]
    for i in range(2):
        s = {k.split(f"resblocks.{i}.")[1]: v for k, v in state.items() if f"resblocks.{i}." in k}
        h = F.layer_norm(x, (width,), s["ln_1.weight"], s["ln_1.bias"])
        q, k, v = F.linear(h, s["attn.in_proj_weight"], s["attn.in_proj_bias"]).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
        h = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + F.linear(h, s["attn.out_proj.weight"], s["attn.out_proj.bias"])
        h = F.linear(
            F.layer_norm(x, (width,), s["ln_2.weight"], s["ln_2.bias"]), s["mlp.c_fc.weight"], s["mlp.c_fc.bias"]
        )
        x = x + F.linear(h * torch.sigmoid(1.702 * h), s["mlp.c_proj.weight"], s["mlp.c_proj.bias"])
    x = F.layer_norm(x, (width,), state["ln_final.weight"], state["ln_final.bias"])
    rows = torch.stack([x[0, 3], x[1, 2]])
    ours = tower(tower.embed(ids), tower.eot(ids))
    torch.testing.assert_close(ours, rows)
    torch.testing.assert_close(tower.project(ours), rows @ state["text_projection"])
    with pytest.raises(UserError, match="without a tokenizer"):
        tower.encode(["riot"])


def test_local_directory(tower: TextTower, tmp_path: Path) -> None:
    from harness.text.embedded import byte_tokenizer

    folder = tmp_path / "my-clip"
    tower.model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    loaded = load_text_tower(str(folder))
    assert loaded.name.startswith("my-clip#")
    assert loaded.name == load_text_tower(str(folder)).name
    torch.testing.assert_close(loaded.encode(PROMPTS), tower.encode(PROMPTS))


def test_bad_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import BertConfig, BertModel

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="no such directory"):
        load_text_tower(str(tmp_path / "missing"))
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        load_text_tower(str(tmp_path))
    assert "\n" not in str(caught.value)
    other = BertModel(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    other.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="text tower"):
        load_text_tower(str(tmp_path))


def test_unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    class Unreachable:
        def model_info(self, *args: object, **kwargs: object) -> None:
            raise ConnectionError("Name or service not known\nmore")

    monkeypatch.setattr(huggingface_hub, "HfApi", Unreachable)
    with pytest.raises(UserError, match=r"nobody/no-such-tower.*go online") as caught:
        load_text_tower("nobody/no-such-tower")
    assert "\n" not in str(caught.value)


def test_import_is_light() -> None:
    code = "import sys, harness.text; sys.exit('transformers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_planning_knows_the_embedded_tower_without_building_it(monkeypatch: pytest.MonkeyPatch) -> None:
    built = load_text_tower(None)
    calls: list[str | None] = []
    monkeypatch.setattr(order, "text_tower", cache(lambda source: calls.append(source) or built))
    tower = order.planned_tower(None)
    for fact in ("name", "width", "dim", "layers", "context"):
        assert getattr(tower, fact) == getattr(built, fact)
    assert calls == []
    assert torch.equal(tower.encode(["a"]), built.encode(["a"]))
    assert torch.equal(tower.tokenize(["a"]), built.tokenize(["a"]))
    assert calls == [None]
    with pytest.raises(AttributeError):
        tower.nothing  # noqa: B018
