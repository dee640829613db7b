"""What tests of commands share."""

import sys

import pytest

from unmasked import cli


@pytest.fixture
def unmasked(monkeypatch, capsys):
    """Runs a command. Returns its exit status, and what it says on stdout and stderr."""

    def unmasked(*arguments):
        monkeypatch.setattr(sys, "argv", ["unmasked", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        if isinstance(stopped.value.code, str):  # what sys.exit writes to stderr
            return 1, said.out, said.err + stopped.value.code
        return stopped.value.code, said.out, said.err

    return unmasked
