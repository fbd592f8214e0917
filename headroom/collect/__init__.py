"""Readers of AWS and Kubernetes: read-only, what they need declared, no decisions."""
