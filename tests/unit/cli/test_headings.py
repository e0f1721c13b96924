from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from nucbatch.cli.headings import HeadedCommand, headed, option
from nucbatch.cli.main import nucbatch


def test_help_lists_options_under_their_headings_and_the_others_last() -> None:
    @click.command(cls=HeadedCommand)
    @click.option("--own", help="of no heading")
    @headed("First", option("--a", help="one"), option("--b", "two", help="two"))
    @headed("Second", option("--c", is_flag=True, help="three"))
    def shown(own: str, a: str, two: str, c: bool) -> None:
        click.echo(f"{own} {a} {two} {c}")

    lines = CliRunner().invoke(shown, ["--help"]).output.splitlines()
    assert [line.split()[0] for line in lines if line][1:] == [
        "First:",
        "--a",
        "--b",
        "Second:",
        "--c",
        "Other",
        "--own",
        "--help",
    ]
    assert CliRunner().invoke(shown, ["--own", "x", "--a", "y", "--b", "z", "--c"]).output == "x y z True\n"


@pytest.mark.parametrize("name", ["run", "inspect"])
def test_every_option_stands_once_in_the_help(name: str) -> None:
    shown = CliRunner().invoke(nucbatch, [name, "--help"]).output
    with click.Context(nucbatch) as context:
        command = nucbatch.get_command(context, name)
        assert command is not None
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    flags = [max(parameter.opts, key=len) for parameter in options]
    listed = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", shown, re.MULTILINE)
    assert sorted(listed) == sorted([*flags, "--help"])
