"""`python -m tools.train zoo NAME`: a published system of the zoo, trained and compared on the protocol of all.

Learns from acted speech (each corpus and class alike), from MELD's utterances as text, and from both put together: a
text with a voice of the same emotion. Evaluated on voices and dialogues that it has not learnt from. A training that
was interrupted goes on where it was.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from streamer.errors import UserError
from streamer_models.bundle import Bundle
from streamer_models.encoders.bert_tokens import BertTokens
from streamer_models.heads.calibration import Calibration
from streamer_models.registry import SYSTEMS
from streamer_models.sequences import Utterances
from streamer_models.tokenizer import TextEmbedder, TextTokenizer
from streamer_models.zoo.base import Targets, UtteranceSystem
from tools.data.cache import DEFAULT_CACHE
from tools.evaluate.output import write_json
from tools.training.loop import fit
from tools.training.recipes.zoo_evaluation import Material, choose_fusion_weight, evaluate
from tools.training.tasks.audio_data import LABELS
from tools.training.tasks.zoo_data import (
    AFFECT,
    Amount,
    Part,
    halves,
    mel_frames,
    minilm_tokens,
    speech_part,
    text_part,
)

OWN_RECIPES = ("dutta2022", "late_fusion")
"""Systems that are trained by `python -m tools.train bundle`."""


@dataclass(frozen=True)
class ZooSettings:
    """Pace of a training."""

    epochs: int = 8
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    names = [name for name in SYSTEMS.names() if name not in OWN_RECIPES]
    parser.add_argument("name", choices=names, help="the system")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with speech/ and conversations/meld"
    )
    parser.add_argument("--out", type=Path, required=True, help="where the bundle goes")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    parser.add_argument("--epochs", type=int, default=8, help="passes (default %(default)s)")
    parser.add_argument(
        "--clips", type=int, default=300, help="clips of a corpus at most (default %(default)s)"
    )
    parser.add_argument(
        "--texts", type=int, default=3000, help="texts at most (default %(default)s)"
    )
    parser.add_argument(
        "--cache", type=Path, default=DEFAULT_CACHE, help="decoded clips (default %(default)s)"
    )
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")


def run(arguments: argparse.Namespace) -> None:
    """Train and evaluate what the arguments name."""
    torch.set_num_threads(arguments.threads)
    amount = Amount(arguments.clips, arguments.texts, arguments.seed)
    settings = ZooSettings(epochs=arguments.epochs)
    result = train_system(
        arguments.name, arguments.data, arguments.out, settings, amount, cache=arguments.cache
    )
    write_json(arguments.json, result)
    print(json.dumps(result, indent=2))


def train_system(
    name: str,
    data: Path,
    out: Path,
    settings: ZooSettings,
    amount: Amount,
    *,
    cache: Path,
    tokens: tuple[BertTokens, TextTokenizer] | None = None,
) -> dict[str, Any]:
    """Train a system, write its bundle to `out`, and give its figures.

    Args:
        name: In the registry.
        data: Folder with speech/ and conversations/meld.
        out: The bundle's directory.
        settings: Pace.
        amount: What is learnt from; its seed is that of everything.
        cache: Where clips and features are kept.
        tokens: Text encoder and tokenizer in place of MiniLM's.
    """
    watch = time.process_time()
    material = _material(name, data, cache, amount, tokens)
    torch.manual_seed(amount.seed)
    model = _system(name, material)
    learn = _Learning(model, material.speech["train"], material.texts.get("train"))
    fit(
        learn.model,
        range(len(learn)),
        learn.loss,
        settings,
        kept=out / "unfinished.safetensors",
        identity={"name": name, "settings": asdict(settings), "amount": asdict(amount)},
        seed=amount.seed,
        title=name,
    )
    model.eval()
    choose_fusion_weight(model, material)
    minutes = (time.process_time() - watch) / 60
    calibration, figures = evaluate(model, material)
    bundle = _save(model, out, calibration, material.tokenizer, figures)
    size = sum(path.stat().st_size for path in out.iterdir()) / 1e6
    return {
        "name": name,
        "seed": amount.seed,
        "settings": asdict(settings),
        "amount": asdict(amount),
        "learnt_from": len(learn),
        "cpu_minutes": round(minutes, 1),
        "megabytes": round(size, 1),
        "labels": list(bundle.labels),
        **figures,
    }


def _material(
    name: str,
    data: Path,
    cache: Path,
    amount: Amount,
    given: tuple[BertTokens, TextTokenizer] | None,
) -> Material:
    config = SYSTEMS.find(name).config_class()
    encoder = mel_frames(config.audio.embedding, cepstra=config.audio.cepstra)
    speech = {s: speech_part(data, cache, s, amount, encoder) for s in ("train", "dev")}
    if config.text is None:
        return Material(speech, {}, encoder, None, None)
    tokens, tokenizer = given or minilm_tokens()
    read = TextEmbedder(tokenizer, tokens)
    key = "minilm-48" if given is None else "given"
    learnt, rest = (text_part(data, cache, split, amount, read, key) for split in ("train", "val"))
    chosen_by, reported = halves(rest)
    texts = {"train": learnt, "choice": chosen_by, "report": reported}
    return Material(speech, texts, encoder, tokens, tokenizer)


def _system(name: str, material: Material) -> UtteranceSystem:
    """The system with new weights; the frozen text encoder in it."""
    system = SYSTEMS.find(name)
    changes: dict[str, Any] = {"labels": LABELS}
    if material.tokens is not None:
        changes["text"] = material.tokens.config
    fields = system.config_class.model_fields
    domains = {
        "speakers": len(set(material.speech["train"].groups)),
        "corpora": len(set(material.speech["train"].corpora)),
    }
    changes |= {field: count for field, count in domains.items() if field in fields}
    model = system(system.config_class(**changes))
    if not isinstance(model, UtteranceSystem):
        raise UserError(f"{name}: not a system that this recipe can train")
    if material.tokens is not None:
        model.text = material.tokens
    return model


class _Learning:
    """Examples by number: first all clips, then all texts, of which every other draw has a voice."""

    def __init__(self, model: UtteranceSystem, speech: Part, texts: Part | None) -> None:
        self.model, self._speech, self._texts = model, speech, texts
        self._voices = speech.places_by_label()
        self._speakers = {name: i for i, name in enumerate(sorted(set(speech.groups)))}
        self._corpora = {name: i for i, name in enumerate(sorted(set(speech.corpora)))}

    def __len__(self) -> int:
        return len(self._speech.labels) + (0 if self._texts is None else len(self._texts.labels))

    def loss(self, examples: list[int]) -> torch.Tensor:
        """The system's own loss of a batch."""
        drawn = [self._draw(example) for example in examples]
        windows = [(utterance,) for utterance, _, _ in drawn]
        labels = torch.tensor([label for _, label, _ in drawn])
        voices = [voice for _, _, voice in drawn]
        targets = Targets(
            labels=labels,
            speakers=torch.tensor([self._speaker(voice) for voice in voices]),
            corpora=torch.tensor([self._corpus(voice) for voice in voices]),
            dimensions=torch.tensor([AFFECT[LABELS[label]] for label in labels.tolist()]),
        )
        batch = Utterances.of(windows, self.model.config.sizes, self.model.device)
        return self.model.loss(batch, targets)

    def _draw(self, example: int) -> tuple[Any, int, int | None]:
        """An utterance, its class, and the place of its voice."""
        if example < len(self._speech.labels):
            return self._speech.audio(example), int(self._speech.labels[example]), example
        assert self._texts is not None  # noqa: S101 - otherwise there is no such number
        place = example - len(self._speech.labels)
        label = int(self._texts.labels[place])
        voices = self._voices[label]
        voice = voices[int(torch.randint(len(voices), ()))] if torch.rand(()) < 0.5 else None
        heard = None if voice is None else self._speech.features[voice]
        return self._texts.text(place, heard), label, voice

    def _speaker(self, voice: int | None) -> int:
        return -100 if voice is None else self._speakers[self._speech.groups[voice]]

    def _corpus(self, voice: int | None) -> int:
        return -100 if voice is None else self._corpora[self._speech.corpora[voice]]


def _save(
    model: UtteranceSystem,
    out: Path,
    calibration: Calibration,
    tokenizer: TextTokenizer | None,
    figures: dict[str, Any],
) -> Bundle:
    bundle = Bundle(
        name=model.name,
        version="1",
        model=model,
        calibration=calibration,
        threshold=0.5,
        tokenizer=tokenizer,
        card=f"# {model.name}\n\nTrained for comparison; research data, non-commercial use only.\n\n"
        f"```json\n{json.dumps(figures, indent=2)}\n```\n",
        license="Trained on research data: non-commercial use only",
        languages=("en",) if tokenizer else (),
    )
    bundle.save(out)
    return bundle
