"""What the fleet does a second, how late and in how much memory; as ratios of one run."""
