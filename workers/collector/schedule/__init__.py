"""What a collector asks and does again and again, by one clock."""
