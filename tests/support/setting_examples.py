"""Every configuration key with its default and an example. Tests compare the code with it, key by key."""

from typing import Any, NamedTuple

from webhook.settings import RuleSettings


class SettingExample(NamedTuple):
    """A key's default, and another value as YAML, as the text of a variable, and as it is in the configuration."""

    default: Any
    yaml: str
    variable: str
    value: Any
    decides: bool = False
    """Whether it decides what happens to a Pod or a namespace, and so is in the digest."""


#: A key that is not here does not exist.
SETTING_EXAMPLES: dict[str, SettingExample] = {
    "opencti.daemon.registry.server": SettingExample(
        None, "registry.example.com", "registry.example.com", "registry.example.com", decides=True
    ),
    "opencti.daemon.registry.username": SettingExample(None, "robot", "robot", "robot"),
    "opencti.daemon.registry.password": SettingExample(None, '"0042"', "0042", "0042"),
    "opencti.daemon.registry.email": SettingExample(None, "ops@example.com", "ops@example.com", "ops@example.com"),
    "opencti.daemon.registry.token_ttl": SettingExample(1800, "600", "600", 600),
    "opencti.daemon.registry.retry_attempts": SettingExample(3, "7", "7", 7),
    "opencti.daemon.registry.retry_delay": SettingExample(5, "0", "0", 0),
    "webhook.rules": SettingExample(
        (),
        "[{from: quay.io, to: registry.example.com/quay}]",
        '[{"from": "quay.io", "to": "registry.example.com/quay"}]',
        (RuleSettings("quay.io", "registry.example.com/quay"),),
        decides=True,
    ),
    "webhook.exclude": SettingExample(
        (), '["**/pause", "quay.io/**"]', "**/pause, quay.io/**", ("**/pause", "quay.io/**"), decides=True
    ),
    "webhook.namespaces.mode": SettingExample("labelled", "all", "all", "all", decides=True),
    "webhook.namespaces.allow": SettingExample(None, '["team-*"]', "team-*", ("team-*",), decides=True),
    "webhook.namespaces.deny": SettingExample((), "[a, b]", "a,b", ("a", "b"), decides=True),
    "webhook.pod_opt_out": SettingExample("allow", "ignore", "ignore", "ignore", decides=True),
    "webhook.pull_secret.name": SettingExample("registry-webhook-pull", "pull", "pull", "pull", decides=True),
    "webhook.pull_secret.enabled": SettingExample(True, "false", "false", False, decides=True),
    "webhook.pull_secret.registries": SettingExample(
        (), "[https://ghcr.io/]", "https://ghcr.io/", ("ghcr.io",), decides=True
    ),
    "webhook.pull_secret.linger": SettingExample(86400, "0", "0", 0, decides=True),
    "webhook.credential.file": SettingExample(None, "/run/password", "/run/password", "/run/password"),
    "webhook.credential.username_file": SettingExample(None, "/run/username", "/run/username", "/run/username"),
    "webhook.credential.docker_config": SettingExample(
        None, "/run/config.json", "/run/config.json", "/run/config.json"
    ),
    "webhook.credential.helper": SettingExample(None, "ecr-login", "ecr-login", "ecr-login"),
    "webhook.credential.helper_life": SettingExample(None, "7200", "7200", 7200),
    "webhook.credential.helper_timeout": SettingExample(30, "5", "5", 5),
    "webhook.certificate.life": SettingExample(7_776_000, "3600", "3600", 3600),
    "webhook.certificate.authority_life": SettingExample(157_680_000, "31536000", "31536000", 31_536_000),
    "webhook.certificate.overlap": SettingExample(120, "60", "60", 60),
    "webhook.verify": SettingExample("warn", "off", "off", "off"),
    "webhook.verify_ca": SettingExample(None, "ca.crt", "ca.crt", "ca.crt"),
    "webhook.verify_plain_http": SettingExample("never", "loopback", "loopback", "loopback"),
    "webhook.on_error": SettingExample("allow", "deny", "deny", "deny", decides=True),
    "webhook.log_level": SettingExample("info", "debug", "debug", "debug"),
}
