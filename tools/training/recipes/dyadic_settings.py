"""What could be chosen otherwise in the research benchmark; docs/research.md tells what was tried."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from streamer_models.context.attention import ContextConfig
from streamer_models.context.fusion import FusionConfig
from streamer_models.heads.calibration import Calibration
from tools.training.tasks.dialogues import StageSettings
from tools.training.tasks.text import TextSettings


@dataclass(frozen=True)
class DyadicSettings:
    """All but the audio stage.

    Attributes:
        window: Utterances in a causal window.
        unlabelled: How often an utterance without one of the labels is drawn in the text stage, to one with.
        noise: Word error rates of the versions of each text that the contexts learn from.
        members: Contexts and fusions that are trained from different seeds, and averaged.
        taught: The share of the targets that comes from those trained without the session, not from annotators.
        calibration: Temperatures where there is only one session; otherwise they are found on sessions left out.
        threshold: Confidence under which the bundle abstains, likewise.
    """

    window: int = 16
    unlabelled: float = 0.5
    noise: tuple[float, ...] = (0.0, 0.0, 0.3)
    members: int = 3
    taught: float = 0.0
    text: TextSettings = field(default_factory=lambda: TextSettings(epochs=3, utterances=None))
    context: ContextConfig = field(default_factory=lambda: ContextConfig(dropout=0.3))
    fusion: FusionConfig = field(default_factory=FusionConfig)
    context_stage: StageSettings = field(default_factory=lambda: StageSettings(epochs=10))
    fusion_stage: StageSettings = field(
        default_factory=lambda: StageSettings(epochs=6, learning_rate=5e-4)
    )
    calibration: Calibration = field(default_factory=Calibration)
    threshold: float = 0.6

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON holds them."""
        networks = {name: getattr(self, name) for name in ("context", "fusion", "calibration")}
        stages = {name: getattr(self, name) for name in ("text", "context_stage", "fusion_stage")}
        plain: dict[str, Any] = json.loads(
            json.dumps(
                vars(self)
                | {name: network.model_dump() for name, network in networks.items()}
                | {name: asdict(stage) for name, stage in stages.items()}
            )
        )
        return plain
