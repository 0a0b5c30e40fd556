"""What is wrong with a command line, and the corrected one."""

from collections.abc import Sequence
from pathlib import Path

import click

from webhook.cli.command import Misuse, UnexpectedArguments
from webhook.cli.option_types import FILE_SUFFIXES, BadValue, similar_to
from webhook.output import invocation

#: Characters of a command line that is worth repeating.
_LONGEST = 200
#: The options of kubectl and of other commands for a file that is an argument here.
_FILE_OPTIONS = frozenset({"-f", "--file", "--filename"})


def problem(error: click.UsageError, words: Sequence[str]) -> tuple[str, str]:
    """Return the message and the hint for an error in the command line, of which `words` are the arguments."""
    path = f"{error.ctx.command_path if error.ctx else invocation.program()} --help"
    match error:
        case Misuse():
            return error.message, error.hint
        case UnexpectedArguments():
            return error.message, _as_option(error, words) or path
        case click.exceptions.NoSuchCommand():
            message = f'unknown command "{error.command_name}"'
            group = error.ctx.command if error.ctx else None
            known = group.list_commands(error.ctx) if error.ctx and isinstance(group, click.Group) else ()
            return message, _corrected(words, error.command_name, similar_to(error.command_name, known)) or path
        case click.exceptions.NoSuchOption():
            return f"unknown option {error.option_name}", _option_corrected(error, words) or path
        case click.exceptions.BadOptionUsage():
            return _option_usage(error), path
        case click.exceptions.MissingParameter():
            return f"missing {_missing(error.param)}", path
        case BadValue():
            return f"{_name(error.param).strip('[].')} {error.message}", _corrected(
                words, error.value, error.similar
            ) or path
        case click.exceptions.BadParameter():
            return f"{_name(error.param)}: {error.message.rstrip('.')}", path
        case _:
            return error.format_message().rstrip("."), path


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
        return _line(*words[:number], corrected, *words[number + 1 :])
    return ""


def _line(*words: str) -> str:
    """Return a command line if it is worth repeating, or an empty string."""
    line = invocation.command(*words)
    return line if len(line) <= _LONGEST and line.isprintable() else ""


def _option_corrected(error: click.exceptions.NoSuchOption, words: Sequence[str]) -> str:
    """Return the command line with the option that was meant, or with the option where it belongs."""
    ctx, wrong = error.ctx, error.option_name
    if ctx is None:
        return ""
    if isinstance(ctx.command, click.Group):
        moved = _moved(ctx, ctx.command, wrong, words)
        if moved:
            return moved
    takes_files = any(isinstance(one, click.Argument) and _name(one).startswith("FILE") for one in ctx.command.params)
    if wrong in _FILE_OPTIONS and takes_files:
        return _without(words, wrong)
    known = [name for one in ctx.command.params for name in one.opts]
    if wrong == "--no-color" and "--color" in known:
        return _corrected(words, wrong, ["--color=never"])
    # `--namespace` is nearer to `--installation-namespace` than to `--name`.
    bare = wrong.lstrip("-")
    parts = [one for one in known if len(bare) > 1 and (one.startswith(wrong) or one.endswith(f"-{bare}"))]
    return _corrected(words, wrong, parts or similar_to(wrong, known))


def _moved(ctx: click.Context, group: click.Group, wrong: str, words: Sequence[str]) -> str:
    """Return the command line with an option behind the command that has it, instead of in front."""
    begin = next((number for number, word in enumerate(words) if word.partition("=")[0] == wrong), len(words))
    for number in range(begin + 1, len(words)):
        command, end = group.get_command(ctx, words[number]), number + 1
        while isinstance(command, click.Group) and end < len(words):
            command, end = command.get_command(ctx, words[end]), end + 1
        option = next((one for one in command.params if wrong in one.opts), None) if command else None
        if not isinstance(option, click.Option):
            continue
        needs_value = not option.is_flag and "=" not in words[begin]
        if number - begin == 1 + needs_value:
            return _line(*words[:begin], *words[number:end], *words[begin:number], *words[end:])
    return ""


def _without(words: Sequence[str], wrong: str) -> str:
    """Return the command line with the value of an option as an argument."""
    left = [word.removeprefix(f"{wrong}=") for word in words if word != wrong]
    return _line(*left) if left != list(words) else ""


def _as_option(error: UnexpectedArguments, words: Sequence[str]) -> str:
    """Return the command line with an unexpected argument as an option: `config check`, `config config.yaml`."""
    known = [name for one in error.ctx.command.params for name in one.opts] if error.ctx else []
    (word, *more) = error.words
    if more or word not in words:
        return ""
    if f"--{word}" in known:
        return _corrected(words, word, [f"--{word}"])
    if "--config" in known and "--config" not in words and Path(word).suffix in FILE_SUFFIXES:
        number = len(words) - 1 - words[::-1].index(word)
        return _line(*words[:number], "--config", *words[number:])
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
