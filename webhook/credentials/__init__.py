"""Credential providers: the configuration, a password file, a docker `config.json` or a credential helper.

`factory` creates the one that the configuration names; `targets` lists what credentials are needed for. Every provider
reads its source again whenever it is asked, and reports errors when it is read, never at startup: a webhook without a
valid credential still serves.
"""
