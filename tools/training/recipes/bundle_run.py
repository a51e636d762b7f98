"""One training of the bundle: its settings, where things are, and what each result depends on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from streamer.errors import UserError
from tools.data.manifest import manifest_hash
from tools.training.checkpoint import load_checkpoint
from tools.training.folds import without
from tools.training.provenance import read_settings, write_provenance
from tools.training.recipes.open_dialogues import open_hashes
from tools.training.tasks import audio as audio_stage
from tools.training.tasks import text as text_stage
from tools.training.tasks.composition import Composition
from tools.training.tasks.dialogues import StageSettings

CHECKPOINTS = {"audio": audio_stage.CHECKPOINT, "text": text_stage.CHECKPOINT}
"""The file of each encoder, within its folder."""


@dataclass(frozen=True)
class BundleSettings:
    """All that could be chosen otherwise; the defaults make the shipped bundle.

    Attributes:
        folds: Of the training part, by speakers and dialogues.
        unseen_voices: From so many folds of the speakers the later stages learn, from each as if no encoder had seen
            it; 0: from all as it is.
        unseen_texts: The same of the dialogues.
        fold_epochs: Of the audio encoders that have not seen a fold.
        written: Dialogues of DailyDialog that are composed, those in which most is expressed; of the others: all.
        noisy_texts: Versions of each text with recogniser-like noise, beside the true one.
        noise: Their greatest word error rate.
        clip_versions: Augmented versions of each clip, beside it as recorded and a short stretch of it.
        casts: How often each dialogue is composed, with other actors.
        calls: Calls made of clips alone.
    """

    audio: audio_stage.AudioSettings = field(default_factory=audio_stage.AudioSettings)
    text: text_stage.TextSettings = field(default_factory=text_stage.TextSettings)
    folds: int = 2
    unseen_voices: int = 0
    unseen_texts: int = 0
    fold_epochs: int = 30
    composition: Composition = field(default_factory=Composition)
    context: StageSettings = field(
        default_factory=lambda: StageSettings(
            epochs=4, batch=8, label_smoothing=0.05, feature_dropout=0.35
        )
    )
    fusion: StageSettings = field(
        default_factory=lambda: StageSettings(
            epochs=3, batch=8, label_smoothing=0.0, feature_dropout=0.35, class_weights=0.7
        )
    )
    window: int = 8
    written: int = 300
    noisy_texts: int = 1
    noise: float = 0.5
    clip_versions: int = 3
    casts: int = 1
    calls: int = 1000
    name: str = "streamer-en-1"
    version: str = "2"

    @property
    def fold_audio(self) -> audio_stage.AudioSettings:
        """Of the audio encoders that have not seen a fold: a shorter training."""
        return replace(self.audio, epochs=min(self.audio.epochs, self.fold_epochs))

    @property
    def fold_text(self) -> text_stage.TextSettings:
        """Of the text encoders that have not seen a fold: less to draw from, hence fewer draws."""
        drawn = self.text.utterances
        share = (self.folds - 1) / self.folds
        return replace(self.text, utterances=None if drawn is None else round(drawn * share))


@dataclass(frozen=True)
class BundleRun:
    """What `train bundle` was asked for.

    Attributes:
        data: Folder with speech/ and conversations/.
        out: Each stage has a folder in it.
        seed: Equal seeds give equal results on one machine.
        resume: Whether finished results are kept.
        settings: All else.
        cache: Where decoded clips and energies are kept.
        holdout: A bundle that learnt in the same way, from the training parts alone; with it, this one learns from
            the development parts too, and the holdout bundle stands for it where these are judged.
    """

    data: Path
    out: Path
    seed: int
    resume: bool
    settings: BundleSettings
    cache: Path
    holdout: Path | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Of the clips, those to learn from."""
        return ("train", "dev") if self.holdout else ("train",)

    @property
    def splits(self) -> tuple[str, ...]:
        """Of the written dialogues, those to learn from."""
        return ("train", "val") if self.holdout else ("train",)

    def check_holdout(self) -> None:
        """Make sure that the holdout bundle learnt in the same way.

        Raises:
            UserError: It did not, or does not say how.
        """
        if self.holdout is None:
            return
        alone = replace(self, holdout=None)
        wanted = json.loads(json.dumps({**asdict(self.settings), "parts": alone.parts}))
        if read_settings(self.holdout / "bundle.run.json") != wanted:
            raise UserError(
                f"{self.holdout}: no holdout bundle: its settings or the parts it learnt from are others"
            )

    def folds(self, stage: str) -> range:
        """Return numbers of the folds which have an audio or text encoder that has not seen them."""
        settings = self.settings
        return range({"audio": settings.unseen_voices, "text": settings.unseen_texts}[stage])

    def encoders(self, *stages: str) -> tuple[str, ...]:
        """Return the files of the encoders of stages, within `out`."""
        return tuple(
            str(Path(stage, folder, CHECKPOINTS[stage]))
            for stage in stages
            for folder in ("", *map(without, self.folds(stage)))
        )

    def identity(self, stage: str, keys: tuple[str, ...], files: tuple[str, ...]) -> dict[str, Any]:
        """Return what a result depends on: seed, some of the settings, data, and the files of earlier stages.

        Raises:
            UserError: A file is not there.
        """
        for name in files:
            if not (self.out / name).is_file():
                raise UserError(f"{self.out / name}: not there; train that stage first")
        settings = asdict(self.settings)
        made = {n: hashlib.sha256((self.out / n).read_bytes()).hexdigest() for n in files}
        whole = {
            "stage": stage,
            "seed": self.seed,
            "parts": self.parts,
            "settings": {key: settings[key] for key in keys},
            "from": {**self.hashes(), **made},
        }
        result: dict[str, Any] = json.loads(json.dumps(whole))
        return result

    def finished(self, place: Path, identity: Mapping[str, Any]) -> bool:
        """Return whether a result is there that is to be kept."""
        return self.resume and place.is_file() and load_checkpoint(place)[1] == identity

    def hashes(self) -> dict[str, str]:
        """Return the hashes of the data."""
        return {"speech": manifest_hash(self.data / "speech"), **open_hashes(self.data)}

    def provenance(self, stage: str, settings: Mapping[str, Any], data: dict[str, str]) -> None:
        """Write what a stage was made from beside it."""
        folder = self.out if stage == "bundle" else self.out / stage
        write_provenance(folder / f"{stage}.run.json", seed=self.seed, settings=settings, data=data)
