"""Servers that speak the venues' real wire protocols over a seeded market."""
