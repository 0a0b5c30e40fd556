"""`registry-webhook policy`."""

import json
from pathlib import Path
from typing import Literal

import click

from webhook.commands.options import config_option, loaded, placed_option
from webhook.policy.model import Generated


@click.group(
    "policy",
    epilog="""\b
Examples:
  registry-webhook policy mutate --config config.yaml | kubectl apply --server-side -f -
  registry-webhook policy guard --config config.yaml --action Warn | kubectl apply --server-side -f -
""",
)
def command() -> None:
    """Make admission policies of the configuration: the same rules, run by the API server itself.

    `mutate` takes the webhook's place, from Kubernetes 1.36 on. `guard` stands beside either, from 1.33 on.
    """


_output_option = click.option(
    "--output",
    "-o",
    type=click.Choice(["yaml", "json"]),
    default="yaml",
    show_default=True,
    help="YAML says what each part is; JSON is a List.",
)


@command.command()
@_output_option
@placed_option
@config_option
def mutate(output: str, installation_namespace: str, config: Path | None) -> None:
    """Print a MutatingAdmissionPolicy that does to a Pod what the webhook does, and its binding."""
    from webhook.config import assemble
    from webhook.policy import mutate as engine

    _print(
        engine.policy(assemble.policy_terms(loaded(config, installation_namespace).configuration)),
        output,
        "policy mutate",
    )


@command.command()
@click.option(
    "--action",
    type=click.Choice(["Deny", "Warn", "Audit"]),
    default="Deny",
    show_default=True,
    help="What becomes of such a Pod: it is refused, made with a warning, or made and noted in the audit log.",
)
@_output_option
@placed_option
@config_option
def guard(
    action: Literal["Deny", "Warn", "Audit"], output: str, installation_namespace: str, config: Path | None
) -> None:
    """Print a ValidatingAdmissionPolicy that finds Pods whose images were not rewritten, and its binding."""
    from webhook.config import assemble
    from webhook.policy import guard as engine

    made = engine.policy(assemble.policy_terms(loaded(config, installation_namespace).configuration), action)
    _print(made, output, "policy guard")


def _print(made: Generated, output: str, command_name: str) -> None:
    from webhook.presentation import policies

    if output == "json":
        click.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": [made.policy, made.binding]}, indent=2))
    else:
        click.echo(policies.written(made, command_name), nl=False)
