"""What comes from outside the process: files and manifests."""
