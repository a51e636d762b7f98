"""A trained model on disk: a directory of JSON, safetensors and text, checked before any of it is used.

bundle.json           format, name, version, sizes of the networks, calibration, size and SHA-256 of the other files
weights.safetensors   see `storage`
tokenizer.json        where the model reads text
MODEL_CARD.md         what it was trained on, how good it is, what it is not for
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from streamer_models.config import NetworkConfig
from streamer_models.encoders.bert_gru import TextTokenizer
from streamer_models.fast.audio import AudioNetwork
from streamer_models.fast.text import Reader, TextNetwork
from streamer_models.fast.window import WindowNetwork
from streamer_models.heads.calibration import Calibration
from streamer_models.memory import Judge
from streamer_models.shapes import shapes_only
from streamer_models.storage import pack, unpack
from streamer_models.zoo.dutta2022 import ConversationConfig, ConversationModel

FORMAT: Final = 1
MAX_BYTES = 45_000_000
"""What all files of a bundle may take together."""

_PACKAGE = Path(__file__).resolve().parent
PRETRAINED = next(
    (path for path in (_PACKAGE / "pretrained", _PACKAGE.parent / "pretrained") if path.is_dir()),
    _PACKAGE / "pretrained",
)
"""Where the bundles are that come with the program."""

_MANIFEST = "bundle.json"
_MAX_MANIFEST_BYTES = 100_000
_WEIGHTS, _TOKENIZER, _CARD = "weights.safetensors", "tokenizer.json", "MODEL_CARD.md"


class BundleError(ValueError):
    """A bundle cannot be found, read or written; the message is one line that says why."""


class _File(NetworkConfig):
    bytes: Annotated[int, Field(ge=0, le=MAX_BYTES)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Manifest(NetworkConfig):
    format: Literal[1]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+-]{1,32}$")]
    model: ConversationConfig
    calibration: Calibration
    threshold: Annotated[float, Field(ge=0, le=1)]
    files: dict[str, _File]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A trained model and all that is needed to use it."""

    name: str
    version: str
    model: ConversationModel
    calibration: Calibration
    threshold: float
    """Confidence under which it abstains."""
    tokenizer: TextTokenizer | None
    """For `model.text`; None exactly where that is None."""
    card: str
    """Markdown."""

    def judge(self, threshold: float | None = None) -> Judge:
        """What judges a stream with it; `threshold` stands for the bundle's own."""
        network = WindowNetwork(self.model)
        return Judge(network, self.calibration, self.threshold if threshold is None else threshold)

    def hearing(self) -> AudioNetwork | None:
        """What `AudioStream`s hear a stream with; None if it cannot hear."""
        return None if self.model.audio is None else AudioNetwork(self.model.audio)

    def reader(self) -> Reader | None:
        """What embeds the texts of a stream with it; None if it cannot read."""
        if self.model.text is None or self.tokenizer is None:
            return None
        return Reader(self.tokenizer, TextNetwork(self.model.text))

    def save(self, directory: Path) -> None:
        """Write it to a directory, over a bundle that may be there.

        Raises:
            BundleError: It is too large or inconsistent.
            OSError: The directory cannot be written.
        """
        try:
            files = {
                _WEIGHTS: pack(self.model.state_dict()),
                _CARD: self.card.encode(),
            }
        except ValueError as error:
            raise BundleError(f"bundle {self.name}: {error}") from error
        if (self.tokenizer is None) != (self.model.text is None):
            raise BundleError(f"bundle {self.name}: a tokenizer goes with a text encoder")
        if self.tokenizer is not None:
            files[_TOKENIZER] = self.tokenizer.definition.encode()
        try:
            manifest = _Manifest(
                format=FORMAT,
                name=self.name,
                version=self.version,
                model=self.model.config,
                calibration=self.calibration,
                threshold=self.threshold,
                files={
                    name: _File(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
                    for name, data in files.items()
                },
            )
        except ValidationError as error:
            raise BundleError(f"bundle {self.name}: {_first(error)}") from error
        text = json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n"
        files[_MANIFEST] = text.encode()  # the last one: without it the rest is no bundle
        total = sum(map(len, files.values()))
        if total > MAX_BYTES:
            raise BundleError(
                f"bundle {self.name}: {total} bytes are more than the {MAX_BYTES} allowed"
            )
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            part = directory / f".{name}.part"
            part.write_bytes(data)
            part.replace(directory / name)

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
        manifest = _read_manifest(directory)
        wanted = {_WEIGHTS, _CARD} | ({_TOKENIZER} if manifest.model.text is not None else set())
        if strange := sorted(manifest.files.keys() ^ wanted):
            raise BundleError(f"{_MANIFEST} must name {sorted(wanted)}; differs in {strange[0]!r}")
        if sum(file.bytes for file in manifest.files.values()) > MAX_BYTES:
            raise BundleError(f"more than {MAX_BYTES} bytes")
        data = {
            name: _read_checked(directory / name, file) for name, file in manifest.files.items()
        }
        tokenizer = None
        try:
            with shapes_only():  # until the file is known to have them
                model = ConversationModel(manifest.model)
            state = unpack(data[_WEIGHTS], model.state_dict())
            if manifest.model.text is not None:
                definition = data[_TOKENIZER].decode()
                tokenizer = TextTokenizer(definition, manifest.model.text.max_tokens)
                if tokenizer.vocabulary > manifest.model.text.vocabulary:
                    raise BundleError("the tokenizer has more words than the text encoder")
            card = data[_CARD].decode()
        except ValueError as error:
            raise BundleError(_one_line(str(error))) from error
        model.load_state_dict(state, assign=True)
        return cls(
            name=manifest.name,
            version=manifest.version,
            model=model.eval().requires_grad_(requires_grad=False),
            calibration=manifest.calibration,
            threshold=manifest.threshold,
            tokenizer=tokenizer,
            card=card,
        )


def find_bundle(name: str) -> Path:
    """The directory of a bundle: a path to it, or the name of one that comes with the program.

    Raises:
        BundleError: There is none.
    """
    for directory in (Path(name), PRETRAINED / Path(name).name):
        if (directory / _MANIFEST).is_file():
            return directory
    known = sorted(path.parent.name for path in PRETRAINED.glob(f"*/{_MANIFEST}"))
    raise BundleError(
        f"there is no bundle {name}: give the directory of one, or a name of these: "
        f"{', '.join(known) or 'none is installed'}"
    )


def _read_manifest(directory: Path) -> _Manifest:
    text = _read(directory / _MANIFEST, _MAX_MANIFEST_BYTES)
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{_MANIFEST} is not JSON: {_one_line(str(error))}") from error
    found = raw.get("format") if isinstance(raw, dict) else None
    if found != FORMAT:
        raise BundleError(f"its format is {found!r}, this program reads {FORMAT}")
    try:
        return _Manifest.model_validate(raw)
    except ValidationError as error:
        raise BundleError(f"{_MANIFEST}: {_first(error)}") from error


def _read_checked(path: Path, file: _File) -> bytes:
    data = _read(path, file.bytes)
    if len(data) < file.bytes:
        raise BundleError(f"{path.name} has {len(data)} bytes, not {file.bytes}: it was cut off")
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise BundleError(f"{path.name} is damaged: its SHA-256 is not that of {_MANIFEST}")
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


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return _one_line(f"{place}: {first['msg']}" if place else first["msg"])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
