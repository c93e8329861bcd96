"""The services that Heat depends on: database, broker, cache, Keystone. Kinds: bundled, existing, adopted."""
