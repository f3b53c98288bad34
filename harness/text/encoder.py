"""CLIP's text encoder: frozen weights, through which gradients flow to learned prompts and adapters.

Architecture and names are those of Hugging Face transformers, which is imported when a tower is built.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.text.tower_files import check_cached, tower_hash, weights_hash

if TYPE_CHECKING:
    from transformers import CLIPTextModelWithProjection

# Token ids of one prompt, from SOT to EOT.
Tokenize = Callable[[str], list[int]]

_SEED = 20260101
_WIDTH, _LAYERS, _HEADS, _CONTEXT = 512, 4, 8, 77
# Of the embedded tower, as `TextTower` names them.
EMBEDDED_SIZES = {"width": _WIDTH, "dim": _WIDTH, "layers": _LAYERS, "context": _CONTEXT}
# Of a tower that is loaded; the largest CLIP text models have 32.
_MOST_LAYERS = 200
# Some common English pairs, merged by the embedded tokenizer.
_MERGES = ("i n", "in g</w>", "a r", "s h", "s t", "e r", "er y</w>", "a l", "i o", "io n</w>")


class TextTower(nn.Module):
    """A frozen CLIP text encoder of L layers, width W and projection D.

    `name` says where the weights come from and goes into every result. Always in eval mode.
    """

    def __init__(self, model: CLIPTextModelWithProjection, tokenizer: Tokenize, name: str) -> None:
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self.tokenizer = tokenizer
        self.name = name
        self.width: int = model.config.hidden_size
        self.dim: int = model.config.projection_dim
        self.layers: int = model.config.num_hidden_layers
        self.context: int = model.config.max_position_embeddings

    def train(self, mode: bool = True) -> TextTower:
        """Stay in eval mode: the tower is frozen."""
        return super().train(False)

    def tokenize(self, prompts: Sequence[str]) -> Tensor:
        """Return token ids `[C, L]` (int64), SOT to EOT, zero-padded to the longest prompt.

        Padding to the full context would change nothing: the mask is causal and EOT is read. A prompt that is too
        long loses its last words.
        """
        rows = [self.tokenizer(prompt) for prompt in prompts]
        rows = [row if len(row) <= self.context else [*row[: self.context - 1], row[-1]] for row in rows]
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for ids_row, row in zip(ids, rows, strict=True):
            ids_row[: len(row)] = torch.tensor(row)
        return ids.to(self.model.text_projection.weight.device)

    @staticmethod
    def eot(ids: Tensor) -> Tensor:
        """Return the position of EOT `[C]` in zero-padded token ids `[C, L]`: the last one that is not zero."""
        return ((ids != 0) * torch.arange(ids.shape[1], device=ids.device)).argmax(dim=1)

    def embed(self, ids: Tensor) -> Tensor:
        """Return token embeddings `[C, L, W]` of ids `[C, L]`, without positions."""
        embedded: Tensor = self.model.text_model.embeddings.token_embedding(ids)
        return embedded

    def forward(
        self, embeddings: Tensor, eot: Tensor, after_layer: Callable[[int, Tensor], Tensor] | None = None
    ) -> Tensor:
        """Return the EOT rows `[C, W]` after the final norm, before the projection.

        Args:
            embeddings: token or learned embeddings `[C, L, W]`, without positions.
            eot: position of EOT `[C]`.
            after_layer: called as `after_layer(i, hidden)` with the output `[C, L, W]` of layer i (from 0); what it
                returns is fed on.
        """
        text = self.model.text_model
        length = embeddings.shape[1]
        hidden = embeddings + text.embeddings.position_embedding.weight[:length]
        causal = torch.full((length, length), -torch.inf, dtype=hidden.dtype, device=hidden.device).triu(1)
        for index, layer in enumerate(text.encoder.layers):
            hidden = layer(hidden, causal[None, None])
            if after_layer is not None:
                hidden = after_layer(index, hidden)
        rows = torch.arange(len(hidden), device=hidden.device)
        normed: Tensor = text.final_layer_norm(hidden[rows, eot])
        return normed

    def project(self, rows: Tensor) -> Tensor:
        """Return CLIP's projection `[C, D]` of EOT rows `[C, W]`."""
        projected: Tensor = self.model.text_projection(rows)
        return projected

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Return projected text features `[C, D]`, not normalised."""
        ids = self.tokenize(prompts)
        return self.project(self(self.embed(ids), self.eot(ids)))


def load_text_tower(source: str | None) -> TextTower:
    """Return the embedded random tower (`source` None), or the tower in a local directory or of a hub id.

    A hub id may carry a revision: `openai/clip-vit-base-patch16@main`. Only safetensors are read. The tower of a
    directory is named by the hash of its weights, settings and tokenizer, one of the hub by its commit.

    Raises:
        UserError: the source is missing, unreachable or no CLIP text model.
        Damaged: the hub's cache does not hold what was downloaded.
    """
    if source is None:
        return _embedded_tower()
    directory = Path(os.path.expanduser(source))
    if os.path.isdir(directory):
        model, tokenize = _pretrained(source, str(directory), local_files_only=True)
        return TextTower(model, tokenize, f"{directory.resolve().name}#{tower_hash(model, directory)[:10]}")
    hub_id, _, revision = source.partition("@")
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", hub_id) or os.path.exists(directory):
        raise UserError(
            f"text tower {source}: no such directory; give a directory saved by save_pretrained or a hub id"
        )
    where: dict[str, Any] = {"revision": revision or "main"}
    try:
        model, tokenize = _pretrained(source, hub_id, **where, local_files_only=True)
    except UserError:
        _reach_hub(source, hub_id, revision or None)
        model, tokenize = _pretrained(source, hub_id, **where)
    check_cached(source, hub_id, revision or "main")
    commit = getattr(model.config, "_commit_hash", None) or weights_hash(model)
    return TextTower(model, tokenize, f"{hub_id}@{commit[:10]}")


def from_openai_state(
    state: Mapping[str, Tensor], heads: int, tokenizer: Tokenize | None = None, name: str = "openai state"
) -> TextTower:
    """Return a tower with weights under OpenAI's CLIP names; sizes are read from the shapes, other keys ignored.

    `text_projection` is `[W, D]`, applied as x @ P. Without a `tokenizer` the tower takes token ids only.
    """
    numbers = [int(m[1]) for key in state if (m := re.match(r"transformer\.resblocks\.(\d+)\.", key))]
    vocabulary, width = state["token_embedding.weight"].shape
    model = _new_model(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=state["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        num_hidden_layers=max(numbers) + 1,
        num_attention_heads=heads,
        max_position_embeddings=state["positional_embedding"].shape[0],
        projection_dim=state["text_projection"].shape[1],
    )
    ours = {
        "text_projection.weight": state["text_projection"].T,
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
    }
    renamed = {"attn.out_proj": "self_attn.out_proj", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    renamed |= {"ln_1": "layer_norm1", "ln_2": "layer_norm2"}
    for kind in ("weight", "bias"):
        ours[f"text_model.final_layer_norm.{kind}"] = state[f"ln_final.{kind}"]
        for layer in range(max(numbers) + 1):
            theirs, own = f"transformer.resblocks.{layer}", f"text_model.encoder.layers.{layer}"
            for part, rows in zip("qkv", state[f"{theirs}.attn.in_proj_{kind}"].chunk(3), strict=True):
                ours[f"{own}.self_attn.{part}_proj.{kind}"] = rows
            for old, new in renamed.items():
                ours[f"{own}.{new}.{kind}"] = state[f"{theirs}.{old}.{kind}"]
    model.load_state_dict(ours)
    return TextTower(model, tokenizer or _no_tokenizer, name)


def _no_tokenizer(prompt: str) -> list[int]:
    raise UserError(f"text tower without a tokenizer cannot read the prompt {prompt!r}")


def _new_model(**sizes: int) -> CLIPTextModelWithProjection:
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    end = sizes["vocab_size"] - 1
    config = CLIPTextConfig(
        **sizes, hidden_act="quick_gelu", bos_token_id=end - 1, eos_token_id=end, pad_token_id=0, attention_dropout=0.0
    )
    # The constructor draws initial weights; the caller's generator must not notice.
    with torch.random.fork_rng(devices=[]):
        return CLIPTextModelWithProjection(config).float()


def _embedded_tower() -> TextTower:
    """A small tower with seeded random weights: it knows spelling, not meaning, and needs no download."""
    tokenizer = _byte_tokenizer()
    model = _new_model(
        vocab_size=len(tokenizer),
        hidden_size=_WIDTH,
        intermediate_size=4 * _WIDTH,
        num_hidden_layers=_LAYERS,
        num_attention_heads=_HEADS,
        max_position_embeddings=_CONTEXT,
        projection_dim=_WIDTH,
    )
    generator = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if "norm" in name:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
            elif name.endswith("bias"):
                parameter.zero_()
            else:
                # Positions weak: prompts should differ by their letters more than agree by their places.
                spread = {"token": 1.0, "posit": 0.1}.get(name.split("embeddings.")[-1][:5], parameter.shape[1] ** -0.5)
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
        # The same for SOT and EOT, which all prompts share.
        model.text_model.embeddings.token_embedding.weight[-2:] *= 0.2
    return TextTower(model, lambda prompt: list(tokenizer(prompt)["input_ids"]), embedded_name())


def embedded_name() -> str:
    """Return the name of the embedded tower, which says what it is not."""
    return f"seeded-{_LAYERS}x{_WIDTH} (random weights, not CLIP)"


def _byte_tokenizer() -> Any:
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges = [tuple(merge.split()) for merge in _MERGES]
    words += ["".join(merge) for merge in merges]
    vocabulary = {word: number for number, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges)


def _pretrained(source: str, where: str, **options: Any) -> tuple[CLIPTextModelWithProjection, Tokenize]:
    from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModelWithProjection

    try:
        with _silence():
            layers = CLIPTextConfig.from_pretrained(where, **options).num_hidden_layers
            if layers > _MOST_LAYERS:  # they are built one by one before any weight is looked at
                raise ValueError(f"{layers} layers, at most {_MOST_LAYERS}")
            model, info = CLIPTextModelWithProjection.from_pretrained(
                where, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
            )
            tokenizer = AutoTokenizer.from_pretrained(where, **options)
            ids = list(tokenizer("a person")["input_ids"])
    # Third-party loaders fail in many ways (OSError, ValueError, safetensors' own); all mean the same to the user.
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"text tower {source}: cannot be loaded ({reason}); it must hold a CLIP text model as safetensors "
            "with its tokenizer"
        ) from error
    if info["missing_keys"] or info.get("mismatched_keys"):
        raise UserError(f"text tower {source}: not a CLIP text model with projection (weights are missing)")
    if max(*ids, *tokenizer.get_vocab().values()) >= model.config.vocab_size:
        raise UserError(f"text tower {source}: its tokenizer knows more tokens than the model; are they of one model?")
    return model, lambda prompt: list(tokenizer(prompt)["input_ids"])


def _reach_hub(source: str, hub_id: str, revision: str | None) -> None:
    # One short request: the loaders themselves retry for half a minute without a network.
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(hub_id, revision=revision, timeout=5)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"text tower {source}: no such directory, not in the local cache, and the hub gave none ({reason}); "
            "give a directory saved by save_pretrained, or go online"
        ) from error


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
