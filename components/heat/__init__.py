"""Heat on its nodes: heat.conf, options, install methods, processes, the caretaker."""
