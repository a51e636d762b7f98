import json
import shutil

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer_models import bundle as bundles
from streamer_models.bundle import Bundle, BundleError, find_bundle
from streamer_models.memory import Embedded
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


def rewrite(directory, change):
    """Change the manifest."""
    path = directory / "bundle.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def replace_file(directory, name, data):
    """Put other content into a file, and let the manifest vouch for it."""
    import hashlib

    (directory / name).write_bytes(data)
    entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    rewrite(directory, lambda manifest: manifest["files"].__setitem__(name, entry))


def refused(directory, words):
    with pytest.raises(BundleError, match=words) as caught:
        Bundle.load(directory)
    assert str(directory) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_was_saved_is_loaded(made, saved):
    loaded = Bundle.load(saved)
    assert (loaded.name, loaded.version) == (made.name, made.version)
    assert loaded.calibration == made.calibration
    assert loaded.threshold == made.threshold
    assert loaded.card == made.card
    assert loaded.model.config == made.model.config
    assert not loaded.model.training
    wave, lengths = 0.1 * torch.randn(2, 40_000), torch.tensor([40_000, 25_000])
    tokens = loaded.tokenizer(["i am so happy", "no !"])
    utterance = Embedded(0, torch.randn(100), torch.randn(100))
    with torch.inference_mode():
        for ours, theirs in (
            (loaded.model.audio(wave, lengths), made.model.audio(wave, lengths)),
            (
                loaded.model.text(*tokens),
                made.model.text(*made.tokenizer(["i am so happy", "no !"])),
            ),
        ):
            assert (ours - theirs).norm() < 0.02 * theirs.norm()
    a, b = (x.judge().step(x.judge().new_state(), utterance) for x in (loaded, made))
    assert a.probabilities == pytest.approx(b.probabilities, abs=0.02)


def test_saving_again_gives_the_same_bytes(saved, tmp_path):
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


def test_a_bundle_may_read_no_text(tmp_path):
    make_bundle(text=None).save(tmp_path)
    assert not (tmp_path / "tokenizer.json").exists()
    loaded = Bundle.load(tmp_path)
    assert loaded.tokenizer is None
    assert loaded.model.text is None
    judge = loaded.judge()
    assert judge.step(judge.new_state(), Embedded(0, torch.randn(100))).modalities == ("audio",)


def test_the_threshold_can_be_overruled(made):
    assert made.judge().threshold == made.threshold
    assert made.judge(0.0).threshold == 0.0


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_flipped_byte_is_noticed(saved, tmp_path_factory, data):
    name = data.draw(st.sampled_from(["weights.safetensors", "tokenizer.json", "MODEL_CARD.md"]))
    directory = tmp_path_factory.mktemp("flip") / "b"
    shutil.copytree(saved, directory)
    content = bytearray((directory / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    (directory / name).write_bytes(content)
    refused(directory, f"{name} is damaged")


@pytest.mark.parametrize("name", ["weights.safetensors", "tokenizer.json", "MODEL_CARD.md"])
def test_a_file_that_is_cut_off_longer_or_missing_is_named(copy, name):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1])
    refused(copy, f"{name} has .* bytes, not .*cut off")
    (copy / name).write_bytes(content + b" ")
    refused(copy, f"{name} has more than")
    (copy / name).unlink()
    refused(copy, f"cannot read {name}: No such file")


def test_a_directory_in_the_place_of_a_file_is_an_error(copy):
    (copy / "MODEL_CARD.md").unlink()
    (copy / "MODEL_CARD.md").mkdir()
    refused(copy, "cannot read MODEL_CARD.md: Is a directory")


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_another_format_is_refused(copy, version):
    rewrite(copy, lambda manifest: manifest.update(format=version))
    refused(copy, "its format is .*, this program reads 1")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "model.pkl", ""])
def test_no_other_file_is_touched(copy, name):
    rewrite(copy, lambda m: m["files"].update({name: m["files"]["MODEL_CARD.md"]}))
    refused(copy, "must name")


@pytest.mark.parametrize("name", ["weights.safetensors", "tokenizer.json", "MODEL_CARD.md"])
def test_each_file_must_be_named(copy, name):
    rewrite(copy, lambda manifest: manifest["files"].pop(name))
    refused(copy, f"must name.*'{name}'")


def test_huge_sizes_are_refused_before_anything_is_read(copy):
    def declare(size):
        return lambda m: [entry.update(bytes=size) for entry in m["files"].values()]

    rewrite(copy, declare(10**12))
    refused(copy, "bytes: Input should be less than or equal to 45000000")
    rewrite(copy, declare(30_000_000))
    refused(copy, "more than 45000000 bytes")
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
        lambda m: m["calibration"].update(both=0),
        lambda m: m["calibration"].update(text=float("nan")),
        lambda m: m.update(threshold=2),
        lambda m: m.update(name="../x"),
        lambda m: m.update(version="a b"),
        lambda m: m.pop("model"),
        lambda m: m.update(extra=1),
        lambda m: m["files"]["MODEL_CARD.md"].update(sha256="0"),
    ],
)
def test_a_manifest_out_of_bounds_is_refused(copy, change):
    rewrite(copy, change)
    refused(copy, r"bundle\.json: ")


@pytest.mark.parametrize("text", ["", "{", "[" * 90_000, '{"format": 1', "[]", "null", "\xff"])
def test_a_manifest_that_is_none_is_refused(copy, text):
    (copy / "bundle.json").write_bytes(text.encode("latin-1"))
    refused(copy, "not JSON|its format is None")


def test_a_manifest_of_great_size_is_not_read(copy):
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
def test_wrong_tensors_are_named(copy, change, words):
    tensors = safetensors.torch.load_file(copy / "weights.safetensors")
    change(tensors)
    replace_file(copy, "weights.safetensors", safetensors.torch.save(tensors))
    refused(copy, words)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 100, b"\x80\x04K\x01.", (10**9).to_bytes(8, "little")]
)
def test_weights_that_are_none_are_refused(copy, content):
    replace_file(copy, "weights.safetensors", content)
    refused(copy, "not safetensors")


def test_a_wrong_tokenizer_is_refused(copy):
    replace_file(copy, "tokenizer.json", b"{}")
    refused(copy, "not a tokenizer")
    words = tuple(f"w{i}" for i in range(29))
    large = tokenizer_definition(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *words))
    replace_file(copy, "tokenizer.json", large.encode())
    refused(copy, "more words than the text encoder")


def test_what_cannot_be_loaded_is_not_saved(tmp_path, monkeypatch):
    from dataclasses import replace

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


def test_bundles_are_found_by_name_or_directory(saved, tmp_path, monkeypatch):
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
def test_rounding_stays_within_half_a_step(rows, columns, spread, seed):
    generator = torch.Generator().manual_seed(seed)
    weights = spread * torch.randn(rows, columns, generator=generator)
    weights[0] = 0
    (back,) = unpack(pack({"w": weights}), {"w": weights}).values()
    step = weights.abs().amax(1, keepdim=True) / 127
    assert ((back - weights).abs() <= step * 0.5001 + 1e-7).all()


def test_what_is_small_or_counts_is_kept_exactly():
    state = {"bias": torch.randn(100), "counter": torch.tensor(12_345_678_901)}
    back = unpack(pack(state), state)
    assert all(torch.equal(back[name], value) for name, value in state.items())
