import re

import pytest

from streamer.errors import UserError
from streamer.settings.load import load


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stop_threshold": 0.6}, "stop_threshold 0.6 is above start_threshold 0.5"),
        ({"pause": 0.5}, "pause 0.5 s is not below hangover 0.5 s"),
        (
            {"pause": 0.3, "endpoint": "adaptive"},
            "pause 0.3 s is not below complete_silence 0.21 s",
        ),
        ({"split_search": 0.2}, "split_search 0.2 s is shorter than pause + min_speech 0.27 s"),
        (
            {"max_utterance": 4},
            "max_utterance 4 s is shorter than pre_roll + min_speech + split_search 4.42 s",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_told(changes, said):
    overrides = {f"segmentation.{key}": value for key, value in changes.items()}
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        load(environment={}, overrides=overrides)
    assert "\n" not in str(caught.value)


def test_settings_at_their_limits_fit():
    load(
        environment={},
        overrides={
            "segmentation.stop_threshold": 0.5,
            "segmentation.pause": 0.49,
            "segmentation.split_search": 0.61,
            "segmentation.max_utterance": 2.0,
        },
    )
