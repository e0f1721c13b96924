"""Options under headings: a command's ``--help`` lists what belongs together in one section."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]
"""A function that Click makes a command of, or the command."""


class _HeadedOption(click.Option):
    """Option with the heading under which the help lists it."""

    def __init__(self, *declarations: Any, heading: str, **attributes: Any) -> None:
        super().__init__(*declarations, **attributes)
        self.heading = heading


Option = tuple[tuple[str, ...], dict[str, Any]]
"""Names and further attributes of an option, for Click."""


def option(*names: str, **attributes: Any) -> Option:
    """Describes an option, with the arguments of :func:`click.option`."""
    return names, attributes


def headed(heading: str, *options: Option) -> Callable[[Command], Command]:
    """Returns a decorator that adds options under a heading, in the order given.

    Args:
        heading: title of the section, such as ``Input``.
        options: each from :func:`option`.
    """

    def add(command: Command) -> Command:
        for names, attributes in reversed(options):
            command = click.option(*names, cls=_HeadedOption, heading=heading, **attributes)(command)
        return command

    return add


class HeadedCommand(click.Command):
    """Command whose help has one section per heading; options without a heading come last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "heading", "Other options"), []).append(record)
        for heading in sorted(sections, key=lambda heading: heading == "Other options"):
            with formatter.section(heading):
                formatter.write_dl(sections[heading])
