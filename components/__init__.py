"""What a scaled-out Heat is made of. Nothing in here knows of the stack's configuration: values come in as arguments."""
