"""The fast form of contexts and fusion."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from streamer_models.context.attention import SelfAttention
from streamer_models.context.fusion import Fusion
from streamer_models.contract import Scores, Window
from streamer_models.fast.linear import PackedLinear
from streamer_models.fast.recurrent import SideBySideGrus
from streamer_models.fast.transformer import layer_norm, layers_of
from streamer_models.layers.recurrent import lengths_of
from streamer_models.windows import WindowBatch
from streamer_models.zoo.dutta2022 import Dutta2022, Dutta2022Config


class FastDutta2022:
    """`Dutta2022.score` in evaluation, in less than half of the time.

    Args:
        model: Its weights are final.
    """

    def __init__(self, model: Dutta2022) -> None:
        self.config: Dutta2022Config = model.config
        self.device = model.device
        self._contexts = _Contexts(model)
        self._fusion = _Fusion(model.fusion)

    @torch.inference_mode()
    def classify(self, windows: Sequence[Window]) -> Scores:
        """Score the last utterance of each window."""
        return self.score(WindowBatch.of(windows, self.config.embedding, self.device))

    @torch.inference_mode()
    def score(self, windows: WindowBatch) -> Scores:
        """Score the present, which is the last, utterance of each window."""
        lengths = lengths_of(windows.mask)
        mask = windows.mask if int(lengths.min()) < windows.mask.shape[1] else None
        return self._fusion(self._contexts(windows, mask, lengths), mask, lengths)


class _Contexts:
    """Both context encoders at once; text comes first wherever the modalities lie side by side."""

    def __init__(self, model: Dutta2022) -> None:
        encoders = (model.text_context, model.audio_context)
        self._missing = torch.stack([e.missing.detach() for e in encoders])[:, None, None]
        speakers = [e.speaker.detach() for e in encoders if e.speaker is not None]
        self._speaker = torch.stack(speakers) if speakers else None
        self._grus = SideBySideGrus([e.gru.gru for e in encoders])
        attentions = [a for e in encoders for a in e.attention if isinstance(a, SelfAttention)]
        self._projection = torch.stack([a.projection.weight.detach().T for a in attentions])

    def __call__(self, windows: WindowBatch, mask: Tensor | None, lengths: Tensor) -> Tensor:
        """[2, B, L, 2 * hidden]."""
        x = torch.stack([windows.text, windows.audio])
        has = torch.stack([windows.has_text, windows.has_audio])
        x = torch.where(has[..., None], x, self._missing)
        if self._speaker is not None:
            x = x + self._speaker[:, windows.same_speaker.long()]
        outputs, _ = self._grus(x, lengths)
        by_direction = outputs.movedim(3, 1).contiguous()
        directions = by_direction.flatten(0, 1)
        projected = (directions.flatten(1, 2) @ self._projection).view_as(directions)
        scores = projected @ projected.mT
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], float("-inf"))
        attended = torch.softmax(scores, dim=-1) @ directions
        return attended.view_as(by_direction).movedim(1, 3).flatten(3)


class _Fusion:
    def __init__(self, fusion: Fusion) -> None:
        linears = (fusion.text, fusion.audio)
        self._weight = torch.stack([linear.weight.detach().T for linear in linears])[:, None]
        self._bias = torch.stack([linear.bias.detach() for linear in linears])[:, None, None]
        self._layers = layers_of(fusion.layers)
        self._norm = layer_norm(fusion.norm) if isinstance(fusion.norm, nn.LayerNorm) else None
        self._classifier = PackedLinear.of(fusion.classifier)
        self._dimensions = fusion.dimensions

    def __call__(self, contexts: Tensor, mask: Tensor | None, lengths: Tensor) -> Scores:
        """Map contexts [2, B, L, inputs], what is real, and how much -> scores of the B last ones."""
        rows, steps = contexts.shape[1:3]
        x = (contexts @ self._weight + self._bias).transpose(0, 1).flatten(1, 2)
        both = None if mask is None else torch.cat([mask, mask], dim=1)
        for layer in self._layers[:-1]:
            x = layer(x, both)
        last = lengths.to(x.device) - 1
        asked = (
            torch.arange(rows, device=x.device)[:, None],
            torch.stack([last, last + steps], dim=1),
        )
        x = self._layers[-1](x, both, asked)
        if self._norm is not None:
            x = self._norm(x)
        fused = x.flatten(1)
        dimensions = None if self._dimensions is None else self._dimensions(fused)
        return Scores(self._classifier(fused), dimensions)
