import hashlib
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
from tests.models.bundle_files import refused, rewrite
from tests.models.tiny_bundle import make_bundle


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
