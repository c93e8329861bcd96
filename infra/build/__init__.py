"""From settings to components: inventory, control plane, nodes, proxy. Each module knows every kind of its concept."""
