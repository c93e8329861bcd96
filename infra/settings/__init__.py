"""The stack's configuration: read, typed and checked."""
