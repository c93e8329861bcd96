"""A stand-in for Pulumi's `command` plugin, for machines that reach package registries only.

The plugin is a Go program with downloads of its own and is in no registry. This package does what the project
needs of it, `command:local:Command` and `command:remote:Command`, in the same way: the same inputs, outputs, diffs,
state and error texts, so that a stack may go from one to the other between two runs. tests/conformance/ holds it to
that.

It deliberately does not have `assetPaths` and `archivePaths` (refused), `CopyToRemote`, `CopyFile` and `local.run`.

Modules, in the order in which a request passes them:
    service      Pulumi's ResourceProvider service, and the process that serves it
    properties   property values as they come over the wire: plain, secret, unknown
    inputs       what the two resources accept: Check
    difference   what an update or a replacement is: Diff
    lifecycle    which of its commands a resource runs, and with what: Create, Update, Delete
    local        runs a command here
    remote       runs a command over SSH
    operation    what a command has while it runs: cancellation, a deadline, a log
"""
