"""What the library shares with the fleet, copied by scripts/wire.py."""
