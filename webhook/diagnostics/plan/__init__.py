"""Show what labeling a namespace would change."""
