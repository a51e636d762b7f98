import hashlib
import json
import shutil
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer_models import bundle as bundles
from streamer_models import manifest as manifests
from streamer_models.bundle import Bundle, BundleError, find_bundle
from streamer_models.memory import UtteranceEmbedding
from streamer_models.storage import pack, unpack
from tests.models.tiny_bundle import make_bundle, tokenizer_definition


@pytest.fixture(scope="module")
def made():
    return make_bundle()


@pytest.fixture(scope="module")
def saved(made, tmp_path_factory):
    directory = tmp_path_factory.mktemp("bundle")
    made.save(directory)
    return directory


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def rewrite(directory, change, *, sign=True):
    """Change the manifest, and its own SHA-256 with it."""
    path = directory / "bundle.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    if sign:
        manifest.pop("sha256", None)
        manifest["sha256"] = manifests._digest(manifest)
    path.write_text(json.dumps(manifest))


def replace_file(directory, name, data):
    """Put other content into a file, and let the manifest vouch for it."""
    (directory / name).write_bytes(data)
    entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    rewrite(directory, lambda manifest: manifest["files"].__setitem__(name, entry))


def refused(directory, words):
    with pytest.raises(BundleError, match=words) as caught:
        Bundle.load(directory)
    assert str(directory) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_loads_what_was_saved(made, saved):
    loaded = Bundle.load(saved)
    assert (loaded.name, loaded.version) == (made.name, made.version)
    assert loaded.calibration == made.calibration
    assert loaded.threshold == made.threshold
    assert loaded.card == made.card
    assert loaded.model.config == made.model.config
    assert not loaded.model.training
    wave, lengths = 0.1 * torch.randn(2, 40_000), torch.tensor([40_000, 25_000])
    tokens = loaded.tokenizer(["i am so happy", "no !"])
    utterance = UtteranceEmbedding(0, torch.randn(100), torch.randn(100))
    with torch.inference_mode():
        for ours, theirs in (
            (loaded.model.audio(wave, lengths), made.model.audio(wave, lengths)),
            (
                loaded.model.text(*tokens),
                made.model.text(*made.tokenizer(["i am so happy", "no !"])),
            ),
        ):
            assert (ours - theirs).norm() < 0.02 * theirs.norm()
    assert (loaded.license, loaded.languages) == ("CC0-1.0", ("en",))
    assert loaded.modalities == ("audio", "text")
    a, b = (x.classifier()([(utterance,)])[0] for x in (loaded, made))
    assert a.probabilities == pytest.approx(b.probabilities, abs=0.02)


def test_saves_a_loaded_bundle_to_the_same_bytes(saved, tmp_path):
    Bundle.load(saved).save(tmp_path / "again")
    Bundle.load(tmp_path / "again").save(tmp_path / "third")
    for path in saved.iterdir():
        if path.name != "bundle.json":
            assert (tmp_path / "again" / path.name).read_bytes() == (
                tmp_path / "third" / path.name
            ).read_bytes()
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == sorted(
        path.name for path in saved.iterdir()
    )


def test_works_without_a_text_encoder(tmp_path):
    make_bundle(text=None).save(tmp_path)
    assert not (tmp_path / "tokenizer.json").exists()
    loaded = Bundle.load(tmp_path)
    assert loaded.tokenizer is None
    assert loaded.model.text is None
    assert loaded.modalities == ("audio",)
    assert loaded.text_embedder() is None
    (prediction,) = loaded.classifier()([(UtteranceEmbedding(0, torch.randn(100)),)])
    assert prediction.modalities == ("audio",)


def test_threshold_can_be_overridden(made):
    strict = replace(made, thresholds={"sad": 0.9})
    assert set(made.classifier().thresholds.values()) == {made.threshold}
    assert strict.classifier().thresholds["sad"] == 0.9
    assert set(strict.classifier(0.0).thresholds.values()) == {0.0}


def test_keeps_the_thresholds_of_labels(made, tmp_path):
    replace(made, thresholds={"sad": 0.9}).save(tmp_path)
    assert Bundle.load(tmp_path).thresholds == {"sad": 0.9}


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


def test_reads_format_1(saved, made, copy):
    def first(manifest):
        for name in ("sha256", "license", "languages", "system", "backbones"):
            manifest.pop(name)
        manifest["format"] = 1
        manifest["model"].pop("dimensions")
        manifest["model"]["audio"].pop("encoder")
        manifest["model"]["text"].pop("encoder")
        temperatures = {k: v["temperature"] for k, v in manifest["calibration"].items()}
        manifest["calibration"] = {
            "both": temperatures["audio+text"],
            "audio": temperatures["audio"],
            "text": temperatures["text"],
        }

    rewrite(copy, first, sign=False)
    old, new = Bundle.load(copy), Bundle.load(saved)
    assert old.model.config == new.model.config
    assert old.calibration == made.calibration
    assert old.languages == ("en",)
    for name, tensor in new.model.state_dict().items():
        assert torch.equal(old.model.state_dict()[name], tensor)


def test_splits_large_weights_into_files(made, saved, tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "MAX_FILE_BYTES", 400_000)
    made.save(tmp_path / "split")
    parts = sorted(path.name for path in (tmp_path / "split").glob("weights*"))
    assert parts == [f"weights-{n}.safetensors" for n in range(1, len(parts) + 1)]
    assert len(parts) > 1
    whole, split = Bundle.load(saved).model, Bundle.load(tmp_path / "split").model
    for name, tensor in whole.state_dict().items():
        assert torch.equal(split.state_dict()[name], tensor)
    monkeypatch.undo()
    made.save(tmp_path / "split")
    assert [path.name for path in (tmp_path / "split").glob("weights*")] == ["weights.safetensors"]


def test_finds_backbones_by_content(made, tmp_path, monkeypatch):
    prefix = "text.bert."
    state = {k.removeprefix(prefix): v for k, v in made.model.state_dict().items() if prefix in k}
    content = safetensors.torch.save(state)
    monkeypatch.setenv("STREAMER_BACKBONES", str(tmp_path / "backbones"))
    backbone = manifests.Backbone(
        prefix=prefix,
        name="someone/tiny-bert",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    replace(made, backbones=(backbone,)).save(tmp_path / "bundle")
    refused(tmp_path / "bundle", "backbone someone/tiny-bert .*is missing: put its safetensors")
    place = tmp_path / "backbones" / "hub" / "any-name.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    loaded = Bundle.load(tmp_path / "bundle").model.state_dict()
    for name, tensor in state.items():
        assert torch.equal(loaded[prefix + name], tensor)
    place.write_bytes(bytes(len(content)))
    refused(tmp_path / "bundle", "is missing")


def test_predicts_the_same_without_fast_forms(made):
    (utterance,) = [UtteranceEmbedding(0, torch.randn(100), torch.randn(100))]
    (fast,), (plain,) = (made.classifier(fast=f)([(utterance,)]) for f in (True, False))
    assert fast.probabilities == pytest.approx(plain.probabilities, abs=1e-5)
    texts = ["i am so happy", "no !"]
    for ours, theirs in zip(
        made.text_embedder()(texts), made.text_embedder(fast=False)(texts), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


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


def test_finds_bundles_by_name_or_directory(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "PRETRAINED", tmp_path)
    shutil.copytree(saved, tmp_path / "good-one")
    assert find_bundle("good-one") == tmp_path / "good-one"
    assert find_bundle(str(saved)) == saved
    with pytest.raises(BundleError, match=r"no bundle other.*good-one"):
        find_bundle("other")
    with pytest.raises(BundleError, match="no bundle"):
        find_bundle("")


@given(
    rows=st.integers(1, 300),
    columns=st.integers(1, 300),
    spread=st.floats(1e-6, 1e3),
    seed=st.integers(0, 999),
)
@settings(max_examples=40, deadline=None)
def test_rounds_within_half_a_step(rows, columns, spread, seed):
    generator = torch.Generator().manual_seed(seed)
    weights = spread * torch.randn(rows, columns, generator=generator)
    weights[0] = 0
    (back,) = unpack(pack({"w": weights}), {"w": weights}).values()
    step = weights.abs().amax(1, keepdim=True) / 127
    assert ((back - weights).abs() <= step * 0.5001 + 1e-7).all()


def test_keeps_small_and_integer_tensors_exactly():
    state = {"bias": torch.randn(100), "counter": torch.tensor(12_345_678_901)}
    back = unpack(pack(state), state)
    assert all(torch.equal(back[name], value) for name, value in state.items())
