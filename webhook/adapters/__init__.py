"""What reaches outside the process: files, and later the cluster and the registry."""
