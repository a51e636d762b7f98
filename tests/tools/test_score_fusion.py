"""The fusion of scores learns which modality to trust."""

import numpy as np
import torch

from tools.training.tasks.dialogues import LabelledDialogue
from tools.training.tasks.score_fusion import FusionSettings, calm_call, fit_fusion, fused

CLASSES = 4
SETTINGS = FusionSettings(steps=150)


def dialogue(seed, *, audio=1.0, text=1.0, length=12):
    """Scores that know the truth as well as asked for."""
    g = torch.Generator().manual_seed(seed)
    truth = torch.randint(CLASSES, (length,), generator=g)
    hot = torch.nn.functional.one_hot(truth, CLASSES).float()
    noise = torch.randn(2, length, CLASSES, generator=g)
    everything = torch.ones(length, dtype=torch.bool)
    return LabelledDialogue(
        audio=(3 * audio * hot + noise[0])[None],
        text=(3 * text * hot + noise[1])[None],
        has_audio=everything,
        has_text=everything,
        speaker=torch.arange(length) % 2,
        targets=hot,
    )


def accuracy(fusion, dialogues):
    right = [
        fused(fusion, d.plain(), SETTINGS.window).argmax(1) == d.targets.argmax(1)
        for d in dialogues
    ]
    return float(torch.cat(right).float().mean())


def test_trusts_the_modality_that_knows_more():
    fusion = fit_fusion(
        [dialogue(seed, audio=1.0, text=0.0) for seed in range(20)], SETTINGS, seed=0
    )
    audio, text = fusion.weights[2].tolist()
    assert audio > 3 * abs(text)


def test_two_modalities_know_more_than_one():
    train, test = (
        [dialogue(seed, audio=0.5, text=0.5) for seed in r] for r in (range(30), range(50, 80))
    )
    fusion = fit_fusion(train, SETTINGS, seed=0)
    alone = sum(int((d.audio[0].argmax(1) == d.targets.argmax(1)).sum()) for d in test) / sum(
        len(d.targets) for d in test
    )
    assert accuracy(fusion, test) > alone + 0.05


def test_equal_seeds_give_equal_fusions():
    data = [dialogue(seed) for seed in range(4)]
    one, other = (fit_fusion(data, FusionSettings(steps=5), seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_calm_calls_have_one_target():
    target = torch.tensor([0.05, 0.05, 0.05, 0.85])
    call = calm_call(
        torch.randn(2, 9, CLASSES), torch.randn(5, CLASSES), target, np.random.default_rng(0)
    )
    assert call.audio.shape[0] == 2
    assert torch.equal(call.targets, target.expand(len(call.speaker), -1))
