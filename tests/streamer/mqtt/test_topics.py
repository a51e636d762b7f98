import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import UserError
from streamer.mqtt.topics import RESERVED, Topics, check_prefix, segment


@given(st.text())
def test_any_name_becomes_one_safe_level(name):
    assert re.fullmatch(r"[A-Za-z0-9_.@=-]{1,100}", segment(name))
    assert segment(name) not in RESERVED


@given(st.lists(st.text(alphabet="ab/+#_ é", max_size=6), unique=True, min_size=2))
def test_two_names_never_share_a_level(names):
    assert len({segment(name) for name in names}) == len(names)


def test_a_harmless_name_stays_as_it_is():
    assert segment("call-2026.01@desk=1") == "call-2026.01@desk=1"


@pytest.mark.parametrize("prefix", ["", "a//b", "a/+", "#", "$SYS/a", "a\nb", "x" * 300])
def test_refuses_invalid_prefixes(prefix):
    with pytest.raises(UserError, match="prefix"):
        check_prefix(prefix)


def test_topics_of_a_node():
    topics = Topics("home/streamer", "desk")
    assert topics.event("call 1", "utterance").startswith("home/streamer/desk/call_1-")
    assert topics.event("state", "mood") != topics.state("mood")
