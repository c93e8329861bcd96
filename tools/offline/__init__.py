"""What replaces downloads where only package registries are reachable."""
