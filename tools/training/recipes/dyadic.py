"""The stages of Dutta & Ganapathy (ICASSP 2022) on a corpus of dialogues in sessions: from encoders to bundles."""

from dataclasses import dataclass
from pathlib import Path

from streamer import cores
from streamer_models.bundle import Bundle
from streamer_models.zoo.dutta2022 import Dutta2022, Dutta2022Config
from tools.data.iemocap import LABELS
from tools.evaluate.ensemble import Ensemble, put_weights
from tools.training.provenance import git_commit
from tools.training.recipes.dyadic_encoders import (
    AudioStage,
    Dialogues,
    Encoders,
    EncoderTraining,
    TrainedAudio,
    digest_of,
    train_encoders,
)
from tools.training.recipes.dyadic_members import (
    Members,
    MemberTraining,
    save_embeddings,
    train_members,
)
from tools.training.recipes.dyadic_settings import DyadicSettings

WHOLE = "whole"
"""The folder, within a bundle's, of its offline model: it judges whole conversations and does not know who speaks."""

_STAGES = "stages"


@dataclass(frozen=True)
class Trained:
    """What a training gives."""

    causal: Ensemble
    """Knows who speaks."""
    whole: Ensemble
    """The paper's own form."""
    audio_stage: TrainedAudio


def train_dyadic(
    dialogues: Dialogues,
    audio: AudioStage,
    out: Path,
    *,
    name: str,
    seed: int = 0,
    settings: DyadicSettings | None = None,
    workers: int | None = None,
) -> Trained:
    """Train all stages and write the bundle to `out`; finished stages that `out` holds are taken as they are.

    Args:
        dialogues: To learn from.
        audio: How the audio stage is trained.
        out: Where the bundle goes, and its offline model to `WHOLE` within.
        name: Of the bundle.
        seed: Equal seeds give equal results on one machine.
        settings: All that could be chosen otherwise.
        workers: Trainings that go on at a time, which changes no result; None: as many as there are cores.

    Raises:
        UserError: `out` holds stages of another training, or a damaged one.
    """
    settings = settings or DyadicSettings()
    workers = cores.available() if workers is None else workers
    stages = out / _STAGES
    training = EncoderTraining(audio, settings.text, settings.unlabelled, settings.noise, seed)
    encoders, embeddings = train_encoders(dialogues, training, stages, workers=workers)
    embedded = stages / "embeddings.safetensors"
    save_embeddings(embedded, embeddings)
    identity = {
        "seed": seed,
        # more members later leave those that are there as they are
        "settings": {k: v for k, v in settings.as_dict().items() if k != "members"},
        "audio": audio.settings(),
        "dialogues": digest_of(dialogues),
    }
    ensembles = {}
    for form, window in (("causal", settings.window), (WHOLE, None)):
        config = _config(encoders, settings, window)
        members = train_members(
            MemberTraining(config, settings, seed, dialogues, embedded, identity, stages / form),
            workers=workers,
        )
        bundle = Bundle(
            name=name if window else f"{name}-{form}",
            version="1",
            model=_model(config, encoders, members),
            calibration=members.calibration,
            threshold=members.threshold,
            tokenizer=encoders.tokenizer,
            card=_card(name, form, dialogues, seed),
        )
        directory = out if window else out / form
        bundle.save(directory)
        encoders.audio_stage.save(directory)
        Ensemble.of(bundle, members.weights[1:]).save(directory)
        ensembles[form] = Ensemble.load(directory)  # as it will be used: weights rounded
    return Trained(ensembles["causal"], ensembles[WHOLE], encoders.audio_stage)


def _config(encoders: Encoders, settings: DyadicSettings, window: int | None) -> Dutta2022Config:
    """Return the configuration over trained encoders; with a window it knows who speaks."""
    audio, text = encoders.audio_stage.encoder, encoders.text
    return Dutta2022Config(
        labels=LABELS,
        audio=audio.config if audio is not None else None,
        text=text.config,
        embedding=text.config.embedding,
        context=settings.context,
        fusion=settings.fusion,
        window=window,
        speaker=window is not None,
    )


def _model(config: Dutta2022Config, encoders: Encoders, members: Members) -> Dutta2022:
    """Return the encoders and the first member."""
    model = Dutta2022(config)
    for part, trained in ((model.audio, encoders.audio_stage.encoder), (model.text, encoders.text)):
        if part is not None and trained is not None:
            part.load_state_dict(trained.state_dict())
    put_weights(model, members.weights[0])
    return model.eval()


def _card(name: str, form: str, dialogues: Dialogues, seed: int) -> str:
    sessions = sorted({dialogue[0].session for dialogue in dialogues})
    utterances = sum(map(len, dialogues))
    return (
        f"# {name} ({form})\n\n"
        f"A research model: {', '.join(LABELS)} in dialogues of two people. Trained on sessions {sessions} of\n"
        f"IEMOCAP ({len(dialogues)} dialogues, {utterances} utterances), whose licence is an agreement for research:\n"
        f"neither this model nor its figures may be used for anything else, and it must not be passed on.\n\n"
        f"Acted by ten people in American English; half of the dialogues are scripted plays.\n\n"
        f"Seed {seed}; code {git_commit() or 'unknown'}.\n"
    )
