"""Pulumi components that give an existing VPC and cluster more pod addresses: one component a file."""
