"""Credential providers: the configuration, a password file, a docker `config.json` or a credential helper.

`factory` creates the one that the configuration names; `targets` lists the registries that need credentials. Every
provider reads its source again whenever it is asked, and reports errors then, never at startup: a webhook without a
valid credential still serves.
"""
