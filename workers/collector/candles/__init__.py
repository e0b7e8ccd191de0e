"""Candles: closed ones in order and once a revision, checked and filled by REST."""
