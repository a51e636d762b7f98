"""Features of a recording's video: which belong to an utterance, and what is refused."""

import numpy as np
import pytest

from streamer.conversation.turns import Turns
from streamer.conversation.video import MOST_VECTORS, read_video
from streamer.errors import UserError
from streamer_models.memory import ConversationState

SECOND = 16_000


def stored(path, times, size=2, **more):
    """A file in which each vector repeats its time."""
    times = np.asarray(times, np.float64)
    features = np.repeat(times[:, None], size, axis=1).astype(np.float32)
    np.savez(path, **{"times": times, "features": features, **more})
    return path


def test_gives_what_lies_within_an_utterance_and_nothing_later(tmp_path):
    video = read_video(stored(tmp_path / "v.npz", [0.0, 0.5, 1.0, 1.5, 2.0]), 2)
    found = video.of_utterance(0, SECOND // 2, 3 * SECOND // 2)
    assert found.tolist() == [[0.5, 0.5], [1.0, 1.0]]
    assert video.of_utterance(0, 5 * SECOND, 6 * SECOND) is None


def test_gives_each_channel_the_vectors_of_its_speaker(tmp_path):
    path = stored(tmp_path / "v.npz", [0.1, 0.2, 0.3], channels=np.array([0, 1, 0]))
    video = read_video(path, 2)
    assert video.of_utterance(1, 0, SECOND)[:, 0].tolist() == pytest.approx([0.2])
    assert video.of_utterance(2, 0, SECOND) is None


def test_gives_the_last_vectors_of_a_long_utterance(tmp_path):
    video = read_video(stored(tmp_path / "v.npz", np.arange(400) / 25), 2)
    found = video.of_utterance(0, 0, 16 * SECOND)
    assert len(found) == MOST_VECTORS
    assert found[-1, 0] == pytest.approx(399 / 25)


def test_belongs_to_the_utterance_in_the_context():
    class Runtime:
        def new_state(self):
            return ConversationState(1)

        def classify(self, window, *, live, may_wait=False):
            return window

    class Video:
        def of_utterance(self, channel, start, end):
            import torch

            return torch.tensor([[float(channel), float(start), float(end)]])

    turns = Turns(Runtime(), live=False, video=Video())
    number = turns.add(1, None, (16, 32))
    assert turns.classify(number)[-1].video.tolist() == [[1.0, 16.0, 32.0]]


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"features": np.zeros((3, 5), np.float32)}, r"\[3, 2\]"),
        ({"features": np.full((3, 2), np.nan, np.float32)}, "finite"),
        ({"channels": np.array([0.5, 1, 2])}, "whole numbers"),
        ({"features": np.array([object()] * 3)}, "cannot be read"),
    ],
)
def test_says_what_is_wrong_with_a_file(tmp_path, arrays, complaint):
    path = stored(tmp_path / "v.npz", [0.0, 1.0, 2.0], **arrays)
    with pytest.raises(UserError, match=complaint):
        read_video(path, 2)


def test_refuses_times_that_go_back(tmp_path):
    with pytest.raises(UserError, match="rising"):
        read_video(stored(tmp_path / "v.npz", [1.0, 0.5, 2.0]), 2)


def test_refuses_a_file_that_is_none_and_a_model_without_video(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_video(tmp_path / "none.npz", 2)
    with pytest.raises(UserError, match="takes no video"):
        read_video(stored(tmp_path / "v.npz", [0.0]), 0)
