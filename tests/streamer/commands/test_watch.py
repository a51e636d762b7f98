import json

import pytest

from streamer.commands.watch import one_line


@pytest.mark.parametrize(
    "payload",
    [b'{\n  "label": "x"\n}', b'{"label":\t"x"}', '{"label": "\x9b2Jx\u202e"}'.encode()],
)
def test_prints_each_event_as_one_harmless_line(payload):
    line = one_line(payload)
    assert line.isprintable()
    assert json.loads(line) == json.loads(payload)


def test_passes_other_payloads_through_unchanged():
    payload = '{"label": "größer", "new": 1.0}'
    assert one_line(payload.encode()) == payload
