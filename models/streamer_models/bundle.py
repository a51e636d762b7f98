"""A trained model on disk: a directory of JSON, safetensors and text, checked before any of it is used.

bundle.json           see `manifest`: system, configuration, calibration, size and SHA-256 of the other files
weights*.safetensors  see `storage`; several where one would be too large
tokenizer.json        where the model reads text
MODEL_CARD.md         what it was trained on, how good it is, what it is not for
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor, nn

from streamer_models.backbones import read_backbone
from streamer_models.classifier import Classifier
from streamer_models.config import first_of, one_line
from streamer_models.contract import AudioStream, HasFastForm, Modality
from streamer_models.heads.calibration import Calibration
from streamer_models.manifest import (
    MAX_BYTES,
    MAX_FILE_BYTES,
    MAX_MANIFEST_BYTES,
    NAME,
    Backbone,
    BundleError,
    File,
    Manifest,
    entry_of,
    read_manifest,
)
from streamer_models.registry import SYSTEMS
from streamer_models.shapes import built
from streamer_models.storage import pack, unpack
from streamer_models.streaming import streams_of
from streamer_models.tokenizer import TextEmbedder, TextTokenizer

__all__ = ["Bundle", "BundleError", "find_bundle"]

_PACKAGE = Path(__file__).resolve().parent
PRETRAINED = next(
    (path for path in (_PACKAGE / "pretrained", _PACKAGE.parent / "pretrained") if path.is_dir()),
    _PACKAGE / "pretrained",
)
"""Where the bundles are that come with the program."""

_WEIGHTS = re.compile(r"weights(-\d{1,2})?\.safetensors")
_TOKENIZER, _CARD = "tokenizer.json", "MODEL_CARD.md"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A trained model and all that is needed to use it."""

    name: str
    version: str
    model: Any
    """A `contract.System` that is an `nn.Module`."""
    calibration: Calibration
    threshold: float
    """Confidence under which it abstains."""
    tokenizer: TextTokenizer | None
    """For `model.text`; None exactly where that is None."""
    card: str
    """Markdown."""
    license: str = ""
    """One line."""
    languages: tuple[str, ...] = ()
    """Those that the text encoder knows, as ISO 639 codes."""
    backbones: tuple[Backbone, ...] = ()
    """Files outside of the bundle that hold a part of the weights."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Those of labels for which `threshold` is another."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the logits."""
        labels: tuple[str, ...] = self.model.config.labels
        return labels

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities that it has an encoder for."""
        names: tuple[Modality, ...] = ("audio", "text")
        return tuple(name for name in names if getattr(self.model, name) is not None)

    def classifier(self, threshold: float | None = None, *, fast: bool = True) -> Classifier:
        """Return a classifier of streams.

        Args:
            threshold: Instead of the bundle's own, for all labels.
            fast: Whether to use the system's fast form, where it has one.
        """
        if threshold is None:
            own, others = self.threshold, self.thresholds
        else:
            own, others = threshold, {}
        return Classifier(self.model, self.calibration, own, others, fast=fast)

    def audio_streams(self) -> Callable[[], AudioStream] | None:
        """Prepare the audio encoder for a stream for each utterance; None if there is no audio encoder."""
        return None if self.model.audio is None else streams_of(self.model.audio)

    def text_embedder(self, *, fast: bool = True) -> TextEmbedder | None:
        """Prepare the text encoder; None if there is none.

        Args:
            fast: Whether to use the encoder's fast form, where it has one.
        """
        text = self.model.text
        if text is None or self.tokenizer is None:
            return None
        device = next(text.parameters()).device
        form = text.fast() if fast and isinstance(text, HasFastForm) else text
        return TextEmbedder(self.tokenizer, form, device)

    def save(self, directory: Path) -> None:
        """Write it to a directory, over a bundle that may be there.

        Raises:
            BundleError: It is too large or inconsistent.
            OSError: The directory cannot be written.
        """
        if (self.tokenizer is None) != (self.model.text is None):
            raise BundleError(f"bundle {self.name}: a tokenizer goes with a text encoder")
        try:
            files = {**_packed(self.model, self.backbones), _CARD: self.card.encode()}
            if self.tokenizer is not None:
                files[_TOKENIZER] = self.tokenizer.definition.encode()
            total = sum(map(len, files.values()))
            if total > MAX_BYTES:
                raise BundleError(f"{total} bytes are more than the {MAX_BYTES} allowed")
            files[NAME] = self._manifest(files).encode()
        except ValidationError as error:
            raise BundleError(f"bundle {self.name}: {first_of(error)}") from error
        except ValueError as error:
            raise BundleError(f"bundle {self.name}: {error}") from error
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():  # the manifest last: without it the rest is no bundle
            part = directory / f".{name}.part"
            part.write_bytes(data)
            part.replace(directory / name)
        for path in directory.iterdir():
            if _WEIGHTS.fullmatch(path.name) and path.name not in files:
                path.unlink()

    def _manifest(self, files: dict[str, bytes]) -> Manifest:
        return Manifest(
            name=self.name,
            version=self.version,
            license=self.license,
            languages=self.languages,
            system=self.model.name,
            model=self.model.config,
            calibration=self.calibration,
            threshold=self.threshold,
            thresholds=dict(self.thresholds),
            backbones=self.backbones,
            files={name: entry_of(data) for name, data in files.items()},
        )

    @classmethod
    def load(cls, directory: Path) -> "Bundle":
        """Read and check a bundle; its model is in evaluation mode, on the CPU.

        Raises:
            BundleError: It is not there, damaged, of another format, or not a bundle.
        """
        try:
            return cls._load(directory)
        except BundleError as error:
            raise BundleError(f"bundle {directory}: {error}") from error.__cause__

    @classmethod
    def _load(cls, directory: Path) -> "Bundle":
        manifest = read_manifest(_read(directory / NAME, MAX_MANIFEST_BYTES))
        _check_names(manifest)
        data = {
            name: _read_checked(directory / name, file) for name, file in manifest.files.items()
        }
        weights = [content for name, content in data.items() if _WEIGHTS.fullmatch(name)]
        try:
            model = _loaded(manifest, weights)
            tokenizer = None
            if manifest.model.text is not None:
                tokenizer = _tokenizer(data[_TOKENIZER], manifest.model.text)
            card = data[_CARD].decode()
        except ValueError as error:
            raise BundleError(one_line(str(error))) from error
        return cls(
            name=manifest.name,
            version=manifest.version,
            model=model.eval().requires_grad_(requires_grad=False),
            calibration=manifest.calibration,
            threshold=manifest.threshold,
            thresholds=manifest.thresholds,
            tokenizer=tokenizer,
            card=card,
            license=manifest.license,
            languages=manifest.languages,
            backbones=manifest.backbones,
        )


def find_bundle(name: str) -> Path:
    """Return the directory of a bundle: a path to it, or the name of one that comes with the program.

    Raises:
        BundleError: There is none.
    """
    for directory in (Path(name), PRETRAINED / Path(name).name):
        if (directory / NAME).is_file():
            return directory
    known = sorted(path.parent.name for path in PRETRAINED.glob(f"*/{NAME}"))
    raise BundleError(
        f"there is no bundle {name}: give the directory of one, or a name of these: "
        f"{', '.join(known) or 'none is installed'}"
    )


def _packed(model: nn.Module, backbones: Sequence[Backbone]) -> dict[str, bytes]:
    """Return the files of a model's weights without those of its backbones."""
    prefixes = tuple(backbone.prefix for backbone in backbones)
    state = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not (prefixes and name.startswith(prefixes))
    }
    parts = pack(state, MAX_FILE_BYTES)
    if len(parts) == 1:
        return {"weights.safetensors": parts[0]}
    return {f"weights-{number}.safetensors": part for number, part in enumerate(parts, 1)}


def _check_names(manifest: Manifest) -> None:
    """Check that the manifest names the files of a bundle, and no others."""
    wanted = {_CARD} | ({_TOKENIZER} if manifest.model.text is not None else set())
    weights = {name for name in manifest.files if _WEIGHTS.fullmatch(name)}
    if strange := sorted(manifest.files.keys() ^ (wanted | (weights or {"weights.safetensors"}))):
        raise BundleError(
            f"{NAME} must name {sorted(wanted)} and weights.safetensors; differs in {strange[0]!r}"
        )


def _loaded(manifest: Manifest, weights: Sequence[bytes]) -> nn.Module:
    """Return the system with its weights: nothing is allocated before the files are known to fit it."""

    def read(like: dict[str, Tensor]) -> dict[str, Tensor]:
        outside = {}
        for backbone in manifest.backbones:
            outside.update(read_backbone(backbone))
        return unpack(weights, like, outside)

    system = SYSTEMS.find(manifest.system)
    return built(lambda: system(manifest.model), read)


def _tokenizer(definition: bytes, config: Any) -> TextTokenizer:
    tokenizer = TextTokenizer(definition.decode(), config.max_tokens)
    if tokenizer.vocabulary > config.vocabulary:
        raise BundleError("the tokenizer has more words than the text encoder")
    return tokenizer


def _read_checked(path: Path, file: File) -> bytes:
    data = _read(path, file.bytes)
    if len(data) < file.bytes:
        raise BundleError(f"{path.name} has {len(data)} bytes, not {file.bytes}: it was cut off")
    if entry_of(data) != file:
        raise BundleError(f"{path.name} is damaged: its SHA-256 is not that of {NAME}")
    return data


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise BundleError(f"cannot read {path.name}: {error.strerror}") from error
    if len(data) > limit:
        raise BundleError(f"{path.name} has more than the {limit} bytes it may have")
    return data


def read_shipped(name: str, sha256: str) -> bytes:
    """Read a file that comes with the program, NAME/FILE in `PRETRAINED`.

    Raises:
        BundleError: It is missing or damaged.
    """
    try:
        content = (PRETRAINED / name).read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read {name}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BundleError(f"{name} is damaged: its SHA-256 is another")
    return content
