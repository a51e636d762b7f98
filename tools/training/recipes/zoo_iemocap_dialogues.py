"""`dutta2022` on the protocol of `zoo-iemocap`: small encoders over frozen features, then contexts and fusion.

`python -m tools.train iemocap` is its recipe proper, with encoders that learn, on utterances as if unseen, and several
seeds averaged; this one takes the frames and tokens that the other systems of the zoo take.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamer_models.context.attention import ContextConfig
from streamer_models.zoo.dutta2022 import Dutta2022, Dutta2022Config
from tools.data.iemocap import LABELS
from tools.training.loop import StagePace, fit
from tools.training.tasks.dialogues import (
    LabelledDialogue,
    StageSettings,
    one_hot,
    train_contexts,
    train_fusion,
)
from tools.training.tasks.zoo_dialogues import UNKNOWN, Dialogue

_SIZE = 100


@dataclass(frozen=True)
class DialogueSettings(StagePace):
    """Pace of a fold; with `batch`, `learning_rate` and `weight_decay` of the encoders."""

    epochs: int = 10
    batch: int = 64
    learning_rate: float = 2e-3
    contexts: StageSettings = StageSettings(epochs=5)  # noqa: RUF009 - frozen
    fusion: StageSettings = StageSettings(epochs=3, learning_rate=5e-4)  # noqa: RUF009 - frozen
    window: int = 16


def judge_dialogues(
    learnt: Sequence[Dialogue],
    held: Sequence[Dialogue],
    settings: DialogueSettings,
    out: Path,
    *,
    seed: int,
) -> dict[str, Tensor]:
    """Logits [n, classes] of the labelled utterances of `held`, in order, by form.

    Returns:
        `session_left_out`: by itself; `with_the_past`: by windows of past utterances, told who speaks;
        `whole_conversation`: by all of the dialogue, the paper's form.
    """
    encoders = {name: _encoder(name, learnt, settings, out, seed) for name in ("audio", "text")}
    train, test = ([_embedded(encoders, d) for d in part] for part in (learnt, held))
    known = [torch.tensor(d.labels) != UNKNOWN for d in held]
    judged: dict[str, Tensor] = {}
    for form, window in (("with_the_past", settings.window), ("whole_conversation", None)):
        torch.manual_seed(seed)
        model = Dutta2022(
            Dutta2022Config(
                labels=LABELS,
                text=None,
                embedding=_SIZE,
                context=ContextConfig(dropout=0.3),
                window=window,
                speaker=window is not None,
            )
        )
        model.audio = None
        train_contexts(model, train, settings.contexts, seed=seed)
        train_fusion(model, train, settings.fusion, seed=seed)
        model.eval()
        with torch.inference_mode():
            rows = [model.dialogue(d.plain()) for d in test]
            judged[form] = torch.cat([r[k] for r, k in zip(rows, known, strict=True)])
            if window is not None:
                rows = [model.last(d.plain().windows(1)) for d in test]
                judged["session_left_out"] = torch.cat(
                    [r[k] for r, k in zip(rows, known, strict=True)]
                )
    return judged


class _Encoder(nn.Module):
    """Statistics of an utterance -> its embedding."""

    def __init__(self, inputs: Tensor) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", inputs.mean(dim=0))
        self.register_buffer("deviation", inputs.std(dim=0) + 1e-3)
        self.layers = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(inputs.shape[1], _SIZE), nn.Tanh(), nn.Dropout(0.3)
        )
        self.scores = nn.Linear(_SIZE, len(LABELS))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs] -> [B, 100]."""
        out: Tensor = self.layers((x - self.mean) / self.deviation)
        return out


def _encoder(
    name: str, learnt: Sequence[Dialogue], settings: DialogueSettings, out: Path, seed: int
) -> _Encoder:
    x = torch.cat([_statistics(name, dialogue)[0] for dialogue in learnt])
    has = torch.cat([_statistics(name, dialogue)[1] for dialogue in learnt])
    labels = torch.tensor([label for dialogue in learnt for label in dialogue.labels])
    torch.manual_seed(seed)
    encoder = _Encoder(x[has])
    fit(
        encoder,
        ((labels != UNKNOWN) & has).nonzero()[:, 0].tolist(),
        lambda places: nn.functional.cross_entropy(
            encoder.scores(encoder(x[places])), labels[places]
        ),
        settings,
        kept=out / f"unfinished-{name}.safetensors",
        identity={"settings": repr(settings), "n": len(labels), "seed": seed},
        seed=seed,
        title=name,
    )
    return encoder.eval()


def _statistics(name: str, dialogue: Dialogue) -> tuple[Tensor, Tensor]:
    """Mean and deviation over time of each utterance, [N, 2 D], and which have any, bool [N]."""
    rows = [getattr(said, name) for said in dialogue.said]
    size = next(row.shape[1] for row in rows if row is not None)
    zero = torch.zeros(2 * size)
    found = [
        zero if row is None or not len(row) else torch.cat([row.mean(0), row.std(0, correction=0)])
        for row in rows
    ]
    return torch.stack(found), torch.tensor([row is not None and len(row) > 0 for row in rows])


@torch.inference_mode()
def _embedded(encoders: dict[str, _Encoder], dialogue: Dialogue) -> LabelledDialogue:
    made: dict[str, Any] = {}
    for name, encoder in encoders.items():
        x, made[f"has_{name}"] = _statistics(name, dialogue)
        made[name] = encoder(x)[None]
    return LabelledDialogue(
        **{key: value.clone() for key, value in made.items()},
        speaker=torch.tensor([said.speaker for said in dialogue.said]),
        targets=one_hot(torch.tensor(dialogue.labels), len(LABELS)),
    )
