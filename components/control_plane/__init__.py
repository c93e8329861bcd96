"""What Heat leans on: database, broker, cache, Keystone. A module for each kind: bundled, existing, adopted."""
