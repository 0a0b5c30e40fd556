"""What is wrong with a command line, and the corrected one."""

import difflib
from collections.abc import Iterable, Sequence

import click

from webhook.cli.command import Misuse
from webhook.cli.option_types import BadValue
from webhook.output import invocation

#: Characters of a command line that is worth repeating.
_LONGEST = 200


def problem(error: click.UsageError, words: Sequence[str]) -> tuple[str, str]:
    """Return the message and the hint for an error in the command line, of which `words` are the arguments."""
    path = f"{error.ctx.command_path if error.ctx else invocation.program()} --help"
    match error:
        case Misuse():
            return error.message, error.hint
        case click.exceptions.NoSuchCommand():
            message = f'unknown command "{error.command_name}"'
            return message, _corrected(words, error.command_name, error.possibilities) or path
        case click.exceptions.NoSuchOption():
            known = [name for one in error.ctx.command.params for name in one.opts] if error.ctx else []
            similar = error.possibilities or _similar(error.option_name, known)
            return f"unknown option {error.option_name}", _corrected(words, error.option_name, similar) or path
        case click.exceptions.BadOptionUsage():
            return _option_usage(error), path
        case click.exceptions.MissingParameter():
            return f"missing {_missing(error.param)}", path
        case BadValue():
            return f"{_name(error.param)} {error.message}", _corrected(words, error.value, error.similar) or path
        case click.exceptions.BadParameter():
            return f"{_name(error.param)}: {error.message.rstrip('.')}", path
        case _:
            return error.format_message().rstrip("."), path


def _similar(wrong: str, known: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(wrong, known)


def _corrected(words: Sequence[str], wrong: str, similar: Sequence[str] | None) -> str:
    """Return the command line with the most similar word instead of the wrong one, or an empty string."""
    if not similar:
        return ""
    right = similar[0]
    for number, word in enumerate(words):
        option, equals, value = word.partition("=")
        if word == wrong:
            corrected = right
        elif equals and option == wrong:
            corrected = f"{right}={value}"
        elif equals and value == wrong:
            corrected = f"{option}={right}"
        else:
            continue
        line = invocation.command(*words[:number], corrected, *words[number + 1 :])
        return line if len(line) <= _LONGEST and line.isprintable() else ""
    return ""


def _option_usage(error: click.exceptions.BadOptionUsage) -> str:
    options = error.ctx.command.params if error.ctx else []
    found = next((one for one in options if error.option_name in one.opts), None)
    if not isinstance(found, click.Option):
        return error.format_message().rstrip(".")
    if found.is_flag:
        return f"{error.option_name} takes no value"
    return f"{error.option_name} requires a value: {_metavar(found, error.ctx)}"


def _missing(param: click.Parameter | None) -> str:
    return "argument" if param is None else f"{param.param_type_name} {_name(param)}"


def _name(param: click.Parameter | None) -> str:
    """Return the longest name of an option, or the metavar of an argument."""
    if param is None:
        return "the value"
    return max(param.opts, key=len) if isinstance(param, click.Option) else param.make_metavar(_context(param))


def _metavar(param: click.Parameter, ctx: click.Context | None) -> str:
    return param.make_metavar(ctx or _context(param))


def _context(param: click.Parameter) -> click.Context:
    return click.Context(click.Command(None, params=[param]))
