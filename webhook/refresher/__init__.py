"""The refresher: reads the credential, and keeps the pull secret current in every selected namespace."""
