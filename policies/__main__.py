"""The policy pack. Building it starts its server, so nothing else may import this file."""

from pulumi_policy import PolicyPack

from policies.pack import POLICIES

PolicyPack("headroom", policies=POLICIES)
