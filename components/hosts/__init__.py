"""Where hosts come from: a module for each kind."""
