"""The components of a scaled-out Heat. They receive values as arguments and do not know the stack's configuration."""
