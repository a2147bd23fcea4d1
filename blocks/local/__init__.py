"""Legs as processes of this machine. Imports nothing: the supervisor must start without Prefect."""
