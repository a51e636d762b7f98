import re

import pytest

from streamer.errors import UserError
from streamer.settings.load import load


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"end_silence": 0.1}, "end_silence 0.1 s is not above 0.15 s"),
        ({"max_utterance": 4}, "max_utterance 4 s is shorter than pre_roll + min_speech"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, said):
    overrides = {f"segmentation.{key}": value for key, value in changes.items()}
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        load(environment={}, overrides=overrides)
    assert "\n" not in str(caught.value)


def test_the_adaptive_endpoint_waits_longer_for_turns_that_sound_unfinished():
    def silence(**changes):
        overrides = {f"segmentation.{key}": value for key, value in changes.items()}
        return load(environment={}, overrides=overrides).segmentation.silence

    assert silence() == 0.7
    assert silence(endpoint="fixed") == 0.5
    assert silence(end_silence=1.0) == 1.0
