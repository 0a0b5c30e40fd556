"""The certificates of the webhook server: issue, rotate and store them."""
