import sys
from types import ModuleType

import pytest

from streamer.errors import UserError
from tools.command_line import dispatch

COMMANDS = {"weigh": ("weighing", "what a call weighs"), "other": ("nowhere", "never imported")}


@pytest.fixture(autouse=True)
def weighing(monkeypatch):
    module = ModuleType("weighing", "Weigh calls.\n\n90 % of them are light.")
    module.add_arguments = lambda parser: parser.add_argument("--fail", action="store_true")

    def run(arguments):
        if arguments.fail:
            raise UserError("too heavy")

    module.run = run
    monkeypatch.setitem(sys.modules, "weighing", module)


def test_the_help_of_a_command_is_its_docstring(capsys):
    with pytest.raises(SystemExit, match="0"):
        dispatch("tools", "Weights.", COMMANDS, ["weigh", "--help"])
    assert "Weigh calls.\n\n90 % of them are light.\n" in capsys.readouterr().out


def test_the_help_of_all_imports_none(capsys):
    with pytest.raises(SystemExit, match="0"):
        dispatch("tools", "Weights.", COMMANDS, ["--help"])
    assert "never imported" in capsys.readouterr().out


def test_a_mistake_is_one_line(capsys):
    assert dispatch("tools", "Weights.", COMMANDS, ["weigh", "--fail"]) == 2
    assert capsys.readouterr().err == "tools weigh: too heavy\n"
    assert dispatch("tools", "Weights.", COMMANDS, ["weigh"]) == 0
