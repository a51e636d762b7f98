"""The stages of contexts and fusion learn from dialogues what they should, and only that."""

import pytest
import torch

from streamer_models.context.attention import ContextConfig
from streamer_models.context.fusion import FusionConfig
from streamer_models.encoders.bert_gru import BertGruConfig
from streamer_models.zoo.dutta2022 import Dutta2022, Dutta2022Config
from tools.training.tasks.dialogues import (
    ContextClassifier,
    FusionClassifier,
    LabelledDialogue,
    StageSettings,
    one_hot,
    train_contexts,
    train_fusion,
)

SIZE = 6
QUICK = StageSettings(
    epochs=25,
    learning_rate=1e-2,
    label_smoothing=0.0,
    drop_audio=0.0,
    drop_text=0.0,
    feature_dropout=0.0,
    shorten=0.0,
)


def small_model(window: int | None = 3, speaker: bool = True, seed: int = 0) -> Dutta2022:
    torch.manual_seed(seed)
    return Dutta2022(
        Dutta2022Config(
            labels=("angry", "sad"),
            audio=None,
            text=BertGruConfig(
                vocabulary=8,
                width=4,
                layers=1,
                heads=1,
                feed_forward=4,
                positions=8,
                max_tokens=8,
                last_layers=1,
                hidden=4,
                gru_layers=1,
                embedding=SIZE,
            ),
            embedding=SIZE,
            context=ContextConfig(hidden=8, layers=1),
            fusion=FusionConfig(width=16, heads=2, layers=1, feed_forward=16),
            window=window,
            speaker=speaker,
        )
    )


def echoes(count: int = 40, seed: int = 1) -> list[LabelledDialogue]:
    """Dialogues in which an utterance's class is the sign of the *previous* utterance's first text feature."""
    generator = torch.Generator().manual_seed(seed)
    dialogues = []
    for _ in range(count):
        audio = torch.randn(1, 8, SIZE, generator=generator)
        text = torch.randn(2, 8, SIZE, generator=generator)
        text[1, :, 0] = text[0, :, 0]
        labels = torch.full((8,), -1)
        labels[1:] = (text[0, :-1, 0] > 0).long()
        labels[4] = -1
        every = torch.ones(8, dtype=torch.bool)
        speaker = torch.arange(8) % 2
        dialogues.append(LabelledDialogue(audio, text, every, every, speaker, one_hot(labels, 2)))
    return dialogues


@torch.inference_mode()
def logits_of(classifier, dialogues, window):
    classifier.eval()
    if window is None:
        return [classifier(dialogue.whole(), last=False)[0] for dialogue in dialogues]
    return [classifier(dialogue.windows(window), last=True) for dialogue in dialogues]


def accuracy(classifier, dialogues: list[LabelledDialogue], window: int | None) -> float:
    judged = logits_of(classifier, [d.plain() for d in dialogues], window)
    hits = torch.cat(
        [
            (logits.argmax(1) == d.targets.argmax(1))[d.targets.any(1)]
            for logits, d in zip(judged, dialogues, strict=True)
        ]
    )
    return hits.float().mean().item()


def test_a_negative_label_is_no_target():
    assert one_hot(torch.tensor([1, -1]), 3).tolist() == [[0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(("window", "speaker"), [(3, True), (None, False)])
def test_what_was_said_before_is_learned(window, speaker):
    model = small_model(window, speaker)
    train_contexts(model, echoes(), QUICK, seed=0)
    train_fusion(model, echoes(), QUICK, seed=0)
    assert accuracy(FusionClassifier(model), echoes(seed=2), window) > 0.85


def test_without_the_utterance_before_it_cannot_be_known():
    model = small_model(1)
    train_contexts(model, echoes(), QUICK, seed=0)
    train_fusion(model, echoes(), QUICK, seed=0)
    assert accuracy(FusionClassifier(model), echoes(seed=2), 1) < 0.7


def test_each_stage_changes_its_own_part_only():
    model = small_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_contexts(model, echoes(4), StageSettings(epochs=1), seed=0)
    middle = {name: value.clone() for name, value in model.state_dict().items()}
    train_fusion(model, echoes(4), StageSettings(epochs=1), seed=0)
    after = model.state_dict()

    def changed(old, new):
        return {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}

    assert changed(before, middle) == {"audio_context", "text_context"}
    assert changed(middle, after) == {"fusion"}


def test_the_same_seed_gives_the_same_weights():
    def trained(seed):
        model = small_model()
        train_contexts(model, echoes(4), StageSettings(epochs=2), seed=seed)
        train_fusion(model, echoes(4), StageSettings(epochs=2), seed=seed)
        return model.fusion.classifier.weight

    assert torch.equal(trained(3), trained(3))
    assert not torch.equal(trained(3), trained(4))


def test_a_dialogue_without_labels_teaches_nothing():
    silent = [
        LabelledDialogue(d.audio, d.text, d.has_audio, d.has_text, d.speaker, 0 * d.targets)
        for d in echoes(3)
    ]
    with pytest.raises(ValueError, match="no utterance has a label"):
        train_contexts(small_model(), silent, StageSettings(epochs=1), seed=0)


def test_text_is_drawn_from_its_versions_and_dropped_at_its_rate():
    dialogue = echoes(1)[0]
    versions = torch.stack([torch.zeros(8, SIZE), torch.ones(8, SIZE)])
    dialogue = LabelledDialogue(
        versions,
        versions,
        dialogue.has_audio,
        dialogue.has_text,
        dialogue.speaker,
        dialogue.targets,
    )
    torch.manual_seed(0)
    drawn = [dialogue.drawn(StageSettings(drop_text=0.3, feature_dropout=0)) for _ in range(200)]
    assert torch.stack([d.text for d in drawn]).mean().item() == pytest.approx(0.5, abs=0.05)
    kept = torch.stack([d.has_text for d in drawn]).float().mean().item()
    assert kept == pytest.approx(0.7, abs=0.05)
    assert torch.equal(dialogue.plain().text, torch.zeros(8, SIZE))


def test_judged_windows_agree_with_the_model():
    model = small_model().eval()
    dialogue = echoes(1)[0].plain()
    judged = logits_of(FusionClassifier(model), [dialogue], 3)[0]
    with torch.inference_mode():
        assert torch.allclose(judged, model.dialogue(dialogue), atol=1e-6)
    alone = logits_of(ContextClassifier(model.text_context, "text", model), [dialogue], 3)[0]
    assert alone.shape == (8, 2)


def test_frozen_contexts_drop_nothing_while_the_fusion_learns():
    model = small_model()
    model.train()
    classifier = FusionClassifier(model).train()
    assert classifier.fusion.training
    assert not any(part.training for part in (model.text_context, model.audio_context))
