"""The Pulumi program: configuration in, components, outputs."""
