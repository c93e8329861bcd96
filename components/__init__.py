"""What a scaled-out Heat is made of. Nothing here knows of the stack's configuration: values come in as arguments."""
