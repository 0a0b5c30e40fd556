"""Image references: what they mean, and which image each becomes. Pure; knows nothing of Pods or Kubernetes."""
