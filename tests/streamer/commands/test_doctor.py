"""`streamer doctor`: what works on this machine."""

import json

from streamer import cli


def test_the_emotion_model_that_is_shipped_works(capsys):
    cli.main(["doctor", "--json"])
    findings = {finding["part"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert findings["emotion model"]["state"] == "ok"
    assert "angry" in findings["emotion model"]["detail"]
