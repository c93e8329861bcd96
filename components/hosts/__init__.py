"""The hosts of a deployment: a module for each kind, and their firewall."""
