"""The webhook as a real API server calls it: in any cluster that KUBECONFIG names, with the manifest as it ships."""
