"""Sharing the symbols of a venue with its other workers: who collects what, and from where on."""
