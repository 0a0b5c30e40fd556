"""The refresher: reads the credential, and keeps the pull secrets and the webhook's certificate current."""
