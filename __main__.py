"""The Pulumi program: `headroom:remedy` in the stack's file chooses what it does."""

from stacks import deploy

deploy()
