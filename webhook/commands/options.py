"""Options that several commands share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from webhook.adapters import files
from webhook.config.load import Loaded, load

CONFIG_VARIABLE = "REGISTRY_WEBHOOK_CONFIG"

_Function = TypeVar("_Function", bound=Callable[..., Any])


def config_option(function: _Function) -> _Function:
    """Give a command `--config FILE`, as `config: Path | None`."""
    return click.option(
        "--config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        envvar=CONFIG_VARIABLE,
        help=f"The configuration, YAML. Without it {CONFIG_VARIABLE} names one, and without that the built-in defaults "
        "hold. Environment variables win over the file.",
    )(function)


def loaded(config: Path | None) -> Loaded:
    """Load the configuration that a command was called with.

    Raises `ConfigurationError` or `FileError`.
    """
    return load(*files.configuration(config), os.environ)
