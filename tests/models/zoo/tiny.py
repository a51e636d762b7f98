"""Every system of the zoo with small layers and random weights, and random utterances for them."""

import torch

from streamer_models import registry
from streamer_models.contract import UtteranceEmbedding
from streamer_models.encoders.bert_tokens import BertTokensConfig
from streamer_models.encoders.leaf_cnn import LeafCnnConfig
from streamer_models.encoders.mel_frames import MelFramesConfig
from streamer_models.sequences import Utterances
from streamer_models.zoo.late_fusion import LateFusion, LateFusionConfig
from tests.models.tiny_bundle import TEXT, make_model

BANDS, WIDTH, VIDEO = 12, 24, 6
VECTORS = ("dutta2022", "late_fusion")
AUDIO = MelFramesConfig(embedding=BANDS)
TOKENS = BertTokensConfig(
    **(TEXT.model_dump(exclude={"encoder", "embedding", "hidden", "gru_layers", "head_dropout"})),
    embedding=TEXT.width,
)
SMALL = {
    "krishna2021": {"audio": AUDIO, "text": TOKENS, "width": 16, "heads": 4},
    "padi2022": {"audio": AUDIO, "text": TOKENS, "channels": (4, 8), "hidden": 8, "speakers": 5},
    "yoon2020": {
        "audio": AUDIO,
        "text": TOKENS,
        "audio_hidden": 10,
        "text_hidden": 9,
        "video_hidden": 8,
        "video": VIDEO,
    },
    "atmaja2020": {"audio": AUDIO, "text": TOKENS, "hidden": (12, 8)},
    "chen2022": {
        "audio": AUDIO,
        "text": TOKENS,
        "width": 16,
        "heads": 4,
        "feed_forward": 24,
        "plain_layers": 1,
        "blocks": 1,
        "last_layers": 1,
    },
    "chopra2021": {"audio": AUDIO, "hidden": 12},
    "peng2021": {"audio": AUDIO, "text": TOKENS, "filters": 7},
    "hsu2021": {"audio": AUDIO, "emotion": 8, "sound": 6, "hidden": 10, "segment": 4},
    "gao2021": {
        "audio": AUDIO,
        "width": 16,
        "segment": 3,
        "speakers": 4,
        "corpora": 2,
    },
}


def make_system(name, seed=0, **changes):
    """A small system in evaluation mode."""
    torch.manual_seed(seed)
    if name == "dutta2022":
        return make_model(seed, **changes).requires_grad_(False)
    if name == "late_fusion":
        model = LateFusion(LateFusionConfig(audio=LeafCnnConfig(), text=TEXT, window=4)).eval()
        torch.nn.init.normal_(model.fusion.past.weight)
        return model
    system = registry.SYSTEMS.find(name)
    small = SMALL.get(name, {"audio": AUDIO, "text": TOKENS})
    model = system(system.config_class(**{**small, **changes})).eval()
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
    return model


def utterance(model, seed, *, audio=True, text=True, frames=None, tokens=None, video=None):
    """A random utterance for a system: vectors for the systems of `VECTORS`, else frames and tokens."""
    g = torch.Generator().manual_seed(seed)
    speaker = int(torch.randint(0, 2, (), generator=g))
    if model.name in VECTORS:
        vectors = torch.randn(2, 100, generator=g)
        return UtteranceEmbedding(
            speaker, vectors[0] if audio else None, vectors[1] if text else None
        )
    frames = frames or int(torch.randint(1, 40, (), generator=g))
    tokens = tokens or int(torch.randint(1, 12, (), generator=g))
    return UtteranceEmbedding(
        speaker,
        torch.randn(frames, BANDS, generator=g) if audio else None,
        torch.randn(tokens, WIDTH, generator=g) if text and model.text is not None else None,
        torch.randn(video, VIDEO, generator=g) if video else None,
    )


def batch_of(model, *utterances):
    return Utterances.of([(u,) for u in utterances], model.config.sizes, None)
