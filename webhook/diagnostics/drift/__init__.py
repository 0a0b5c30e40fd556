"""Compare running Pods with what the webhook would do to them now."""
