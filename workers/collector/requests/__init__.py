"""Requests of other processes to this collector's venue."""
