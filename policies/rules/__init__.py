"""The rules: pure functions from a resource's properties and the rule's configuration to findings."""
