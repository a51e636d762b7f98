"""The fast form of the Whisper encoder: its layers in 8 bits, by onnxruntime."""

import numpy as np
import torch
from torch import Tensor, nn

from streamer_models.encoders.whisper import PooledWhisper, Whisper, WhisperBackbone, WhisperSizes
from streamer_models.layers.transformer import EncoderLayer
from streamer_models.onnx_graph import Graph, Shape
from streamer_models.onnx_session import session_of

_FEATURES, _SPEECH = "features", "speech"


class FastWhisper(PooledWhisper):
    """`Whisper` in evaluation on a CPU, in about 60 % of its time.

    Its embeddings are some 3 % away from those of `Whisper` (the distance, by their length): layers multiply in 8 bits.
    The convolutions, which 8 bits change most for what they save, multiply in floating point.

    Args:
        encoder: Its weights are final.
    """

    def __init__(self, encoder: Whisper) -> None:
        super().__init__(encoder.config, encoder.head)
        self._session = session_of(_network(encoder.backbone, encoder.config))

    def encoded(self, mel: Tensor, speech: Tensor) -> Tensor:
        """See `PooledWhisper.encoded`."""
        places = speech.nonzero()[:, 0].numpy()
        frames = self._session.run(None, {_FEATURES: mel.numpy(), _SPEECH: places})[0]
        return torch.from_numpy(frames)


def _network(backbone: WhisperBackbone, sizes: WhisperSizes) -> bytes:
    """Return the network from [mels, F] to the pooled layers at the places that are asked for."""
    graph = Graph()
    first = graph.constant([0])
    x = graph.add("Transpose", _FEATURES, perm=[1, 0])
    for convolution in (backbone.conv1, backbone.conv2):
        x = graph.own("Gelu", _convolved(graph, x, convolution))
    length = graph.add("Shape", x, start=0, end=1)
    positions = graph.add("Slice", graph.constant(backbone.positions), first, length)
    x = graph.add("Unsqueeze", graph.add("Add", x, positions), first)
    pooled = []
    for number in range(1, max(sizes.pooled) + 1):
        last = number == max(sizes.pooled)
        layer = backbone.layers[number - 1]
        assert isinstance(layer, EncoderLayer)  # noqa: S101 - a list of modules does not say
        x = _layer(graph, x, layer, _SPEECH if last else None)
        if number in sizes.pooled:
            pooled.append(x if last else graph.add("Gather", x, _SPEECH, axis=1))
    frames = graph.add("Concat", *pooled, axis=0)
    inputs: dict[str, tuple[type[np.generic], Shape]] = {
        _FEATURES: (np.float32, (sizes.mels, "F")),
        _SPEECH: (np.int64, ("N",)),
    }
    return graph.written(inputs, frames, (len(pooled), "N", sizes.width))


def _convolved(graph: Graph, x: str, layer: nn.Conv1d) -> str:
    """Add a convolution of width 3 over [T, inputs] as one product of matrices."""
    padded = graph.add("Pad", x, graph.constant([1, 0, 1, 0]))
    axis, stride = graph.constant([0]), graph.constant([layer.stride[0]])
    ends = (-2, -1, np.iinfo(np.int64).max)
    windows = [
        graph.add("Slice", padded, graph.constant([place]), graph.constant([end]), axis, stride)
        for place, end in enumerate(ends)
    ]
    assert layer.bias is not None  # noqa: S101 - Whisper's have one
    weight = layer.weight.detach().permute(0, 2, 1).flatten(1)
    return graph.linear(graph.add("Concat", *windows, axis=1), weight, layer.bias)


def _layer(graph: Graph, x: str, layer: EncoderLayer, places: str | None) -> str:
    """Add an `EncoderLayer` that normalises first, over [1, T, width], for some places or all of them."""
    context = graph.norm(x, layer.attention_norm)
    weight: Tensor = layer.key_value.weight
    bias: Tensor = layer.key_value.bias
    if places is None:
        weight, bias = torch.cat([layer.query.weight, weight]), torch.cat([layer.query.bias, bias])
        product = graph.linear_8bit(context, weight, bias)
        query, key, value = graph.all("Split", [product], 3, axis=2, num_outputs=3)
    else:
        product = graph.linear_8bit(context, weight, bias)
        key, value = graph.all("Split", [product], 2, axis=2, num_outputs=2)
        x = graph.add("Gather", x, places, axis=1)
        asked = graph.add("Gather", context, places, axis=1)
        query = graph.linear_8bit(asked, layer.query.weight, layer.query.bias)
    attended = graph.own("MultiHeadAttention", query, key, value, num_heads=layer.heads)
    out = layer.attention_out
    x = graph.add("Add", x, graph.linear_8bit(attended, out.weight, out.bias))
    y = graph.norm(x, layer.feed_forward_norm)
    y = graph.own("Gelu", graph.linear_8bit(y, layer.expand.weight, layer.expand.bias))
    return graph.add("Add", x, graph.linear_8bit(y, layer.contract.weight, layer.contract.bias))
