"""Bundles that were changed, cut off, or never right."""

import shutil
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer_models import bundle as bundles
from streamer_models.bundle import BundleError
from tests.models.bundle_files import refused, replace_file, rewrite
from tests.models.tiny_bundle import make_bundle, tokenizer_definition


def test_refuses_the_threshold_of_no_label(made, tmp_path):
    with pytest.raises(BundleError, match="'bored' is no label"):
        replace(made, thresholds={"bored": 0.9}).save(tmp_path)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_detects_any_flipped_byte(saved, tmp_path_factory, data):
    name = data.draw(st.sampled_from(["weights.safetensors", "tokenizer.json", "MODEL_CARD.md"]))
    directory = tmp_path_factory.mktemp("flip") / "b"
    shutil.copytree(saved, directory)
    content = bytearray((directory / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    (directory / name).write_bytes(content)
    refused(directory, f"{name} is damaged")


@pytest.mark.parametrize("name", ["weights.safetensors", "tokenizer.json", "MODEL_CARD.md"])
def test_names_files_that_are_cut_off_longer_or_missing(copy, name):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1])
    refused(copy, f"{name} has .* bytes, not .*cut off")
    (copy / name).write_bytes(content + b" ")
    refused(copy, f"{name} has more than")
    (copy / name).unlink()
    refused(copy, f"cannot read {name}: No such file")


def test_refuses_a_directory_in_place_of_a_file(copy):
    (copy / "MODEL_CARD.md").unlink()
    (copy / "MODEL_CARD.md").mkdir()
    refused(copy, "cannot read MODEL_CARD.md: Is a directory")


@pytest.mark.parametrize("version", [0, 3, "1", None, [1], True])
def test_refuses_other_formats(copy, version):
    rewrite(copy, lambda manifest: manifest.update(format=version))
    refused(copy, "its format is .*, this program reads 1 and 2")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "model.pkl", ""])
def test_refuses_file_names_that_are_not_a_bundles(copy, name):
    rewrite(copy, lambda m: m["files"].update({name: m["files"]["MODEL_CARD.md"]}))
    refused(copy, "must name")


@pytest.mark.parametrize("name", ["weights.safetensors", "tokenizer.json", "MODEL_CARD.md"])
def test_requires_every_file_to_be_named(copy, name):
    rewrite(copy, lambda manifest: manifest["files"].pop(name))
    refused(copy, f"must name.*'{name}'")


def test_refuses_huge_sizes_before_reading(copy):
    def declare(size):
        return lambda m: [entry.update(bytes=size) for entry in m["files"].values()]

    rewrite(copy, declare(10**12))
    refused(copy, "bytes: Input should be less than or equal to 50000000")
    rewrite(copy, declare(40_000_000))
    refused(copy, "more than 100000000 bytes")
    rewrite(copy, declare(-1))
    refused(copy, "greater than or equal to 0")


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["model"]["text"].update(vocabulary=10**9),
        lambda m: m["model"]["text"].update(layers=10**6),
        lambda m: m["model"].update(window=10**6),
        lambda m: m["model"]["fusion"].update(width=10**6),
        lambda m: m["model"]["context"].update(depth=2),
        lambda m: m["model"]["audio"].update(depth=2),
        lambda m: m["model"]["audio"]["leaf"].update(depth=2),
        lambda m: m["model"].pop("labels") and m["model"].update(labels=[]),
        lambda m: m["calibration"]["audio+text"].update(temperature=0),
        lambda m: m["calibration"]["text"].update(temperature=float("nan")),
        lambda m: m["calibration"].update(smell={}),
        lambda m: m["calibration"]["text"].update(bias=[0, 1]),
        lambda m: m["model"]["audio"]["leaf"].update(hop=0),
        lambda m: m["model"]["audio"]["leaf"].update(filters=10**9),
        lambda m: m["model"]["audio"]["leaf"].update(window=400),
        lambda m: m["model"]["audio"]["leaf"].update(gain=float("inf")),
        lambda m: m["model"]["audio"].update(encoder="unheard of"),
        lambda m: m["model"]["audio"].update(encoder=3),
        lambda m: m["model"]["audio"].pop("encoder"),
        lambda m: m["model"].update(labels=["a", "b\x1b[31m"]),
        lambda m: m["model"].update(dimensions=["dominance"]),
        lambda m: m.update(system="dutta1922"),
        lambda m: m.update(system=None),
        lambda m: m.pop("system"),
        lambda m: m.update(license="two\nlines"),
        lambda m: m.update(languages=["English"]),
        lambda m: m.update(threshold=2),
        lambda m: m.update(name="../x"),
        lambda m: m.update(version="a b"),
        lambda m: m.pop("model"),
        lambda m: m.update(extra=1),
        lambda m: m["files"]["MODEL_CARD.md"].update(sha256="0"),
    ],
)
def test_refuses_manifests_out_of_bounds(copy, change):
    rewrite(copy, change)
    refused(copy, r"bundle\.json: ")


def test_says_where_a_manifest_is_wrong(copy):
    rewrite(copy, lambda m: m["model"]["audio"]["leaf"].update(hop=0))
    refused(copy, r"bundle\.json: model\.audio: leaf\.hop: Input should be greater than")


@pytest.mark.parametrize("text", ["", "{", "[" * 90_000, '{"format": 1', "[]", "null", "\xff"])
def test_refuses_files_that_are_no_manifest(copy, text):
    (copy / "bundle.json").write_bytes(text.encode("latin-1"))
    refused(copy, "not JSON|its format is None")


def test_detects_changes_of_the_manifest(copy):
    def relabel(manifest):
        manifest["model"]["labels"][0] = "furious"

    rewrite(copy, relabel, sign=False)
    refused(copy, "bundle.json is damaged: its SHA-256")
    rewrite(copy, lambda manifest: manifest.pop("sha256"), sign=False)
    refused(copy, "bundle.json is damaged: its SHA-256")


def test_refuses_a_huge_manifest_unread(copy):
    (copy / "bundle.json").write_text(" " * 200_000)
    refused(copy, "more than the 100000 bytes")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("fusion.classifier.weight"), "fusion.classifier.weight is missing"),
        (lambda t: t.update(extra=torch.zeros(2)), "extra is unknown"),
        (
            lambda t: t.update({"fusion.classifier.weight": torch.zeros(9, 9)}),
            r"fusion.classifier.weight has the shape \[9, 9\], not \[4, 48\]",
        ),
        (
            lambda t: t.update({"fusion.classifier.bias": torch.full((4,), float("nan"))}),
            "fusion.classifier.bias is not finite",
        ),
        (
            lambda t: t.update({"fusion.classifier.bias": torch.zeros(4, dtype=torch.int8)}),
            "scales of the tensor fusion.classifier.bias",
        ),
        (
            lambda t: t.update({"fusion.classifier.bias": torch.zeros(4, dtype=torch.int64)}),
            "type torch.int64",
        ),
    ],
)
def test_names_wrong_tensors(copy, change, words):
    tensors = safetensors.torch.load_file(copy / "weights.safetensors")
    change(tensors)
    replace_file(copy, "weights.safetensors", safetensors.torch.save(tensors))
    refused(copy, words)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 100, b"\x80\x04K\x01.", (10**9).to_bytes(8, "little")]
)
def test_refuses_files_that_are_no_weights(copy, content):
    replace_file(copy, "weights.safetensors", content)
    refused(copy, "not safetensors")


def test_refuses_wrong_tokenizers(copy):
    replace_file(copy, "tokenizer.json", b"{}")
    refused(copy, "not a tokenizer")
    words = tuple(f"w{i}" for i in range(29))
    large = tokenizer_definition(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *words))
    replace_file(copy, "tokenizer.json", large.encode())
    refused(copy, "more words than the text encoder")


def test_refuses_to_save_what_cannot_be_loaded(tmp_path, monkeypatch):
    good = make_bundle()
    for change, words in (
        ({"name": "../x"}, "name"),
        ({"threshold": 1.5}, "threshold"),
        ({"tokenizer": None}, "tokenizer"),
    ):
        with pytest.raises(BundleError, match=words):
            replace(good, **change).save(tmp_path)
    with torch.no_grad():
        broken = make_bundle()
        broken.model.fusion.classifier.bias[0] = float("inf")
    with pytest.raises(BundleError, match="are not finite"):
        broken.save(tmp_path)
    monkeypatch.setattr(bundles, "MAX_BYTES", 1000)
    with pytest.raises(BundleError, match="more than the 1000 allowed"):
        good.save(tmp_path)
    assert not list(tmp_path.iterdir())
