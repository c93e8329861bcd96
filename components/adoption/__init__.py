"""An existing heat.conf: read, translated and merged with this program's options."""
