"""bundle.json: what a bundle says of itself, checked against bounds and against its own SHA-256."""

import hashlib
import json
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, model_validator

from streamer_models.config import NetworkConfig, SystemConfig, first_of, one_line
from streamer_models.heads.calibration import Calibration
from streamer_models.registry import SYSTEMS

FORMAT: Final = 2
NAME: Final = "bundle.json"
MAX_BYTES: Final = 100_000_000
"""What all files of a bundle may take together."""
MAX_FILE_BYTES: Final = 50_000_000
MAX_BACKBONE_BYTES: Final = 2_000_000_000
MAX_MANIFEST_BYTES: Final = 100_000

Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{0,200}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class BundleError(ValueError):
    """A bundle cannot be found, read or written; the message is one line that says why."""


class File(NetworkConfig):
    """Size and content of a file of the bundle."""

    bytes: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]
    sha256: Sha256


def entry_of(data: bytes) -> File:
    """Return the entry of a file with this content."""
    return File(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


Confidence = Annotated[float, Field(ge=0, le=1)]


class Backbone(NetworkConfig):
    """A safetensors file outside of the bundle that holds a part of the weights."""

    prefix: Annotated[str, Field(pattern=r"^[a-z0-9_.]{1,100}\.$")]
    """Before the names of its tensors in the model's state."""
    within: Annotated[str, Field(pattern=r"^([a-z0-9_.]{1,100}\.)?$")] = ""
    """Before the names of its tensors in the file; other tensors of the file are not read."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$")]
    """Where it comes from, for people."""
    bytes: Annotated[int, Field(ge=8, le=MAX_BACKBONE_BYTES)]
    sha256: Sha256


def _system(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("a name is missing")  # noqa: TRY004 - pydantic's to report
    SYSTEMS.find(value)
    return value


class Manifest(NetworkConfig):
    """The content of bundle.json without its own SHA-256."""

    format: Literal[2] = FORMAT
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+-]{1,32}$")]
    license: Line = ""
    languages: Annotated[
        tuple[Annotated[str, Field(pattern="^[a-z]{2,3}$")], ...], Field(max_length=100)
    ] = ()
    """Those that its text encoder knows."""
    system: Annotated[str, BeforeValidator(_system)]
    model: SerializeAsAny[SystemConfig]
    calibration: Calibration
    threshold: Confidence
    thresholds: Annotated[dict[str, Confidence], Field(max_length=64)] = Field(default_factory=dict)
    """Those of labels for which it is another."""
    backbones: Annotated[tuple[Backbone, ...], Field(max_length=4)] = ()
    files: Annotated[dict[str, File], Field(max_length=32)]

    @model_validator(mode="before")
    @classmethod
    def _of_the_system(cls, raw: Any) -> Any:
        """Read the model's configuration as that of the system named."""
        if isinstance(raw, dict) and isinstance(raw.get("model"), dict):
            system = SYSTEMS.find(_system(raw.get("system")))
            try:
                model = system.config_class.model_validate(raw["model"])
            except ValidationError as error:
                raise ValueError(f"model.{first_of(error)}") from error
            return {**raw, "model": model}
        return raw

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        if self.calibration.classes not in (None, len(self.model.labels)):
            raise ValueError("calibration: a bias is needed for each label")
        if strange := sorted(self.thresholds.keys() - set(self.model.labels)):
            raise ValueError(f"thresholds: {strange[0][:40]!r} is no label")
        if sum(file.bytes for file in self.files.values()) > MAX_BYTES:
            raise ValueError(f"files: more than {MAX_BYTES} bytes")
        return self

    def encode(self) -> bytes:
        """Return the file's content."""
        raw = self.model_dump(mode="json")
        return (json.dumps({**raw, "sha256": _digest(raw)}, indent=2) + "\n").encode()


def read_manifest(data: bytes) -> Manifest:
    """Check the content of bundle.json, of this format or of the first.

    Raises:
        BundleError: It is not that.
    """
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{NAME} is not JSON: {one_line(str(error))}") from error
    found = raw.get("format") if isinstance(raw, dict) else None
    if isinstance(found, bool) or found not in (1, FORMAT):
        raise BundleError(f"its format is {repr(found)[:40]}, this program reads 1 and {FORMAT}")
    if found == FORMAT:
        said = raw.pop("sha256", None)
        if said != _digest(raw):
            raise BundleError(f"{NAME} is damaged: its SHA-256 is not that of its content")
    try:
        return Manifest.model_validate(_from_first(raw) if found == 1 else raw)
    except ValidationError as error:
        raise BundleError(f"{NAME}: {first_of(error)}") from error


def _digest(raw: dict[str, Any]) -> str:
    text = json.dumps(raw, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _from_first(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the first format, which knew one system and two encoders, as the second."""
    model = raw.get("model")
    if isinstance(model, dict):
        model = dict(model)
        for part, encoder in (("audio", "leaf_cnn"), ("text", "bert_gru")):
            if isinstance(model.get(part), dict):
                model[part] = {**model[part], "encoder": encoder}
    old = raw.get("calibration")
    calibration = old
    if isinstance(old, dict):
        calibration = {
            {"both": "audio+text"}.get(name, name): {"temperature": temperature}
            for name, temperature in old.items()
        }
    about = {"format": FORMAT, "system": "dutta2022", "languages": ["en"]}
    return {**raw, **about, "model": model, "calibration": calibration}
