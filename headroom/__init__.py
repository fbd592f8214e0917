"""Headroom: why a Kubernetes cluster cannot give its pods addresses, and the remedy as reviewed code."""
