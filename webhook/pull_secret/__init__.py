"""The pull secret: its content, how kubelet uses it, and when to refresh it. Pure: values in, values out."""
