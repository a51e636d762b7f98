"""Encoders and systems by name: those of the package, and third parties' by entry point.

An encoder or a system is a class with `config_class`, built of that configuration alone (see `contract`). A package of
its own announces it as an entry point of the group `streamer_models.audio_encoders`, `streamer_models.text_encoders`
or `streamer_models.systems`.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamer_models.config import EncoderConfig


class Registry:
    """Classes by name, imported when they are first asked for.

    Args:
        kind: What they are, for messages.
        group: The entry points of third parties.
        own: Name -> "module:class".
    """

    def __init__(self, kind: str, group: str, own: Mapping[str, str]) -> None:
        self._kind, self._group, self._own = kind, group, own

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted({*self._own, *(entry.name for entry in entry_points(group=self._group))})

    def find(self, name: str) -> Any:
        """Return the class of that name.

        Raises:
            ValueError: There is none, or it cannot be imported.
        """
        if name in self._own:
            module, _, attribute = self._own[name].partition(":")
            return getattr(import_module(module), attribute)
        for entry in entry_points(group=self._group, name=name):
            try:
                return entry.load()
            except (ImportError, AttributeError) as error:
                raise ValueError(f"the {self._kind} {name!r} cannot be loaded: {error}") from error
        known = ", ".join(self.names())
        raise ValueError(f"there is no {self._kind} {name[:40]!r}; there are {known}")


AUDIO_ENCODERS = Registry(
    "audio encoder",
    "streamer_models.audio_encoders",
    {
        "leaf_cnn": "streamer_models.encoders.leaf_cnn:LeafCnn",
        "whisper": "streamer_models.encoders.whisper:Whisper",
        "whisper_frames": "streamer_models.encoders.whisper_frames:WhisperFrames",
        "speaker_frames": "streamer_models.encoders.speaker_frames:SpeakerFrames",
        "hub_speech": "streamer_models.encoders.hub_speech:HubSpeech",
        "mel_frames": "streamer_models.encoders.mel_frames:MelFrames",
    },
)
TEXT_ENCODERS = Registry(
    "text encoder",
    "streamer_models.text_encoders",
    {
        "bert_gru": "streamer_models.encoders.bert_gru:BertGru",
        "bert_tokens": "streamer_models.encoders.bert_tokens:BertTokens",
    },
)
SYSTEMS = Registry(
    "system",
    "streamer_models.systems",
    {
        "dutta2022": "streamer_models.zoo.dutta2022:Dutta2022",
        "late_fusion": "streamer_models.zoo.late_fusion:LateFusion",
        "krishna2021": "streamer_models.zoo.krishna2021:Krishna2021",
        "padi2022": "streamer_models.zoo.padi2022:Padi2022",
        "yoon2020": "streamer_models.zoo.yoon2020:Yoon2020",
        "atmaja2020": "streamer_models.zoo.atmaja2020:Atmaja2020",
        "chen2022": "streamer_models.zoo.chen2022:Chen2022",
        "chopra2021": "streamer_models.zoo.chopra2021:Chopra2021",
        "peng2021": "streamer_models.zoo.peng2021:Peng2021",
        "hsu2021": "streamer_models.zoo.hsu2021:Hsu2021",
        "gao2021": "streamer_models.zoo.gao2021:Gao2021",
    },
)


def make_audio_encoder(config: "EncoderConfig | None") -> Any:
    """Return the audio encoder of a configuration, with new weights; None of None."""
    return None if config is None else AUDIO_ENCODERS.find(config.encoder)(config)


def make_text_encoder(config: "EncoderConfig | None") -> Any:
    """Return the text encoder of a configuration, with new weights; None of None."""
    return None if config is None else TEXT_ENCODERS.find(config.encoder)(config)
