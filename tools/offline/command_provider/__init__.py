"""A stand-in for Pulumi's `command` plugin, for machines that reach package registries only.

The plugin is a Go program with its own downloads and is in no registry. This package implements the two resources that
the project uses, `command:local:Command` and `command:remote:Command`, with the same inputs, outputs, diffs, state and
error texts, so that a stack can change from one plugin to the other between two runs. tests/conformance/ compares them.

Deliberately missing: `assetPaths` and `archivePaths` (refused), `CopyToRemote`, `CopyFile` and `local.run`.

Modules, in the order in which a request passes them:
    service      Pulumi's ResourceProvider service, and the process that serves it
    properties   property values in their wire format: plain, secret, unknown
    inputs       which inputs the two resources accept: Check
    difference   what is an update and what is a replacement: Diff
    lifecycle    which of its commands a resource runs, and with what: Create, Update, Delete
    local        runs a command on this machine
    remote       runs a command over SSH
    operation    what a running command has: cancellation, a deadline, a log
"""
