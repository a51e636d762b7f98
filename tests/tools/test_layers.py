"""The study of layers, on tones."""

from tests.tools.small_world import speech
from tools.training.recipes.layers import FREE, LAYERS, TASKS, StudySettings, study
from tools.training.tasks.zoo_encoders import mel_frames

QUICK = StudySettings(epochs=1, batch=16, shots=2, steps=2, clips=16)


def test_gives_accuracy_and_movement_by_task_condition_and_layer(tmp_path):
    speech(tmp_path / "data" / "speech")
    encoder = mel_frames(20, cepstra=True)
    result = study(
        tmp_path / "data",
        tmp_path / "cache",
        encoder,
        tmp_path / "out",
        QUICK,
        seed=0,
        targets=("tones",),
        sources=("tones",),
    )
    assert result["n"] == 16
    assert list(result["ua"]) == list(TASKS)
    for task in TASKS:
        assert list(result["ua"][task]) == ["as recorded", "telephone"]
        for condition in result["ua"][task].values():
            assert list(condition) == list(FREE)
            assert all(0 <= ua <= 1 for ua in condition.values())
        for condition in result["moved"][task].values():
            assert list(condition) == list(LAYERS)
            assert all(distance > 0 for distance in condition.values())
