"""Simulated clouds, kubelet and CNI, stand-in Pulumi providers and scenarios: an incident on one machine."""
