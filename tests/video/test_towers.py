"""Where image towers come from: directories of transformers' models, OpenAI's files, and what is neither."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from harness.errors import UserError
from harness.video.protocols import find_protocol
from harness.video.towers.loading import load_image_tower
from harness.video.towers.openai import from_openai_state
from tests.video.films import film

Call = Callable[..., tuple[int, str, str]]
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
PICTURE = {**SIZES, "image_size": 32, "patch_size": 16}
TEXT = {**SIZES, "vocab_size": 20, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1}


def _clip() -> Any:
    config = transformers.CLIPConfig(
        text_config={**TEXT, "projection_dim": 24}, vision_config={**PICTURE, "projection_dim": 24}, projection_dim=24
    )
    return transformers.CLIPModel(config)


def _siglip() -> Any:
    return transformers.SiglipModel(transformers.SiglipConfig(text_config=TEXT, vision_config=PICTURE))


MODELS: dict[str, tuple[Callable[[], Any], Callable[[Any, Tensor], Tensor]]] = {
    "clip": (
        lambda: transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**PICTURE, projection_dim=24)),
        lambda model, pixels: model(pixels).image_embeds,
    ),
    "full clip": (
        _clip,
        lambda model, pixels: model.visual_projection(model.vision_model(pixels).pooler_output),
    ),
    "siglip": (
        lambda: transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**PICTURE)),
        lambda model, pixels: model(pixels).pooler_output,
    ),
    "full siglip": (_siglip, lambda model, pixels: model.vision_model(pixels).pooler_output),
    "dino": (
        lambda: transformers.ViTModel(transformers.ViTConfig(**PICTURE), add_pooling_layer=False),
        lambda model, pixels: model(pixels).last_hidden_state[:, 0],
    ),
    "dinov2": (
        lambda: transformers.Dinov2Model(transformers.Dinov2Config(**PICTURE)),
        lambda model, pixels: model(pixels).last_hidden_state[:, 0],
    ),
}


def saved(name: str, directory: Path) -> Any:
    """Save a small model with seeded weights; returns it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MODELS[name][0]().eval()
    model.save_pretrained(directory)
    return model


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_directory_gives_its_models_rows(name: str, pixels: Tensor, tmp_path: Path) -> None:
    model = saved(name, tmp_path / "model")
    tower = load_image_tower(str(tmp_path / "model"))
    with torch.no_grad():
        wanted = MODELS[name][1](model, pixels)
    assert wanted.std() > 0
    torch.testing.assert_close(tower(pixels), wanted, rtol=1e-5, atol=1e-6)
    assert (tower.size, tower.dim) == (32, wanted.shape[1])
    assert tower.name.startswith("model#")
    assert not tower.train().training


def test_a_name_is_of_weights_and_of_how_they_are_used(tmp_path: Path) -> None:
    saved("clip", tmp_path / "model")
    names = [load_image_tower(str(tmp_path / "model")).name]
    saved("clip", tmp_path / "again" / "model")
    names.append(load_image_tower(str(tmp_path / "again" / "model")).name)
    settings = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**settings, "hidden_act": "gelu"}))
    names.append(load_image_tower(str(tmp_path / "model")).name)
    assert names[0] == names[1] != names[2]


class Part(nn.Module):
    """What a script of TorchScript can be made of."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Block(Part):
    """A layer under OpenAI's names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, width // 64)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(c_fc=nn.Linear(width, 4 * width), gelu=nn.GELU(), c_proj=nn.Linear(4 * width, width))
        )


class Transformer(Part):
    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(Block(width) for _ in range(layers)))


class Visual(Part):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 16, 16, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.positional_embedding = nn.Parameter(torch.randn(5, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = Transformer(width, 2)
        self.proj = nn.Parameter(torch.randn(width, 24))


class OpenAI(Part):
    """All of a CLIP model: the text transformer has the names of the image's but for the prefix."""

    def __init__(self) -> None:
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(8, 64))
        self.visual = Visual(128)
        self.transformer = Transformer(64, 3)
        self.logit_scale = nn.Parameter(torch.ones(()))
        self.register_buffer("input_resolution", torch.tensor(32))


@pytest.fixture(scope="module")
def openai() -> OpenAI:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return OpenAI().eval()


def test_openais_files_give_the_same_tower(openai: OpenAI, pixels: Tensor, tmp_path: Path) -> None:
    state = openai.state_dict()
    torch.save(state, tmp_path / "state.pt")
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "wrapped.pt")
    save_file(state, tmp_path / "state.safetensors")
    torch.jit.script(openai).save(tmp_path / "archive.pt")
    alone = from_openai_state({key: value for key, value in state.items() if key.startswith("visual.")}, "alone")
    for name in ("state.pt", "wrapped.pt", "state.safetensors", "archive.pt"):
        tower = load_image_tower(str(tmp_path / name))
        assert torch.equal(tower(pixels), alone(pixels))
        assert (tower.size, tower.dim) == (32, 24)
        assert tower.name.startswith(f"{name}#")
    half = {key: value.half() for key, value in state.items()}
    torch.save(half, tmp_path / "half.pt")
    torch.testing.assert_close(load_image_tower(str(tmp_path / "half.pt"))(pixels), alone(pixels), rtol=0.01, atol=0.1)


def _refused(source: Path | str) -> str:
    with pytest.raises(UserError) as found:
        load_image_tower(str(source))
    assert len(str(found.value).splitlines()) == 1
    return str(found.value)


STATES: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "text alone": (lambda state: {k: v for k, v in state.items() if "visual" not in k}, "no tensors under visual"),
    "no projection": (lambda state: {k: v for k, v in state.items() if k != "visual.proj"}, "visual.proj is missing"),
    "a layer less": (
        lambda state: {k: v for k, v in state.items() if "visual.transformer.resblocks.0" not in k},
        "visual.transformer.resblocks.0.mlp.c_fc.weight is missing",
    ),
    "resnet": (
        lambda state: {
            "visual.conv1.weight": torch.zeros(8, 3, 3, 3),
            "visual.attnpool.k_proj.weight": torch.ones(8, 8),
        },
        "visual.positional_embedding is missing; expected a vision transformer",
    ),
    "flat": (lambda state: {**state, "visual.conv1.weight": torch.zeros(8)}, "the shapes of visual.* are not those"),
    "narrow": (lambda state: {**state, "visual.proj": torch.zeros(7, 24)}, "the shapes of visual.* are not those"),
    "thin": (
        lambda state: {**state, "visual.conv1.weight": torch.zeros(8, 3, 16, 16)},
        "the shapes of visual.* are not those",
    ),
    "no tensors": (lambda state: {}, "no tensors"),
}


@pytest.mark.parametrize("case", STATES, ids=lambda case: case.replace(" ", "-"))
def test_a_state_that_is_no_vision_transformer_is_one_line(case: str, openai: OpenAI, tmp_path: Path) -> None:
    change, expected = STATES[case]
    torch.save(change(dict(openai.state_dict())), tmp_path / "a.pt")
    line = _refused(tmp_path / "a.pt")
    assert expected in line
    assert "a.pt" in line


def test_directories_that_hold_no_image_tower(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "cannot be loaded" in _refused(tmp_path / "empty")
    config = transformers.CLIPTextConfig(**TEXT, projection_dim=24)
    transformers.CLIPTextModelWithProjection(config).save_pretrained(tmp_path / "text")
    assert "a model of type clip_text_model, expected CLIP, SigLIP" in _refused(tmp_path / "text")
    model = saved("clip", tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    assert "safetensors" in _refused(tmp_path / "pickled")
    saved("clip", tmp_path / "damaged")
    content = (tmp_path / "damaged" / "model.safetensors").read_bytes()
    (tmp_path / "damaged" / "model.safetensors").write_bytes(content[: len(content) // 2])
    assert "cannot be loaded" in _refused(tmp_path / "damaged")
    (tmp_path / "damaged" / "config.json").write_text("{")
    assert "cannot be loaded" in _refused(tmp_path / "damaged")


@pytest.mark.parametrize("name", MODELS)
def test_missing_and_misshapen_weights_are_named(name: str, tmp_path: Path) -> None:
    saved(name, tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    chosen = sorted(key for key in state if "layer" in key and "text" not in key and key.endswith("weight"))[0]
    kept = {key: value for key, value in state.items() if key != chosen}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    # Transformers may call the tensors of a file by newer names.
    assert re.search(r"weights are missing, such as [\w.]*layers?\.0\.[\w.]+\.weight$", _refused(tmp_path))
    save_file({**state, chosen: torch.zeros(3)}, tmp_path / "model.safetensors", {"format": "pt"})
    assert str(tmp_path) in _refused(tmp_path)


def test_more_layers_than_any_tower_has_are_not_built(tmp_path: Path) -> None:
    saved("clip", tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**settings, "num_hidden_layers": 100_000}))
    assert "more than 200 layers" in _refused(tmp_path)


def test_without_a_network_a_hub_id_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    line = _refused("nobody/no-such-image-tower")
    assert "not in the local cache" in line
    assert "no such file or directory" in _refused("./nobody")


def test_a_tower_of_another_size_says_what_to_change(harness: Call, tmp_path: Path) -> None:
    saved("clip", tmp_path / "model")
    video = film(tmp_path / "a.mp4", 3)
    line = ("extract", str(video), "--image-tower", str(tmp_path / "model"), "--to", str(tmp_path / "out"))
    code, stdout, stderr = harness(*line)
    assert (code, stdout) == (2, "")
    assert "cuts squares of 224 pixels" in stderr
    assert "write `size: 32` under crops" in stderr
    own = find_protocol("vadclip").model_dump(mode="json")
    own["crops"]["size"] = 32
    (tmp_path / "own.yaml").write_text(json.dumps(own))
    code, stdout, stderr = harness(*line, "--protocol", str(tmp_path / "own.yaml"))
    assert (code, stderr) == (0, "extract: 1/1\n")
    assert "24-d" in stdout
