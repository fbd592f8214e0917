"""Incidents to rehearse, one a module."""
