"""The agent of a host: restarts its programs and adds venues to it, when the coordinator asks."""
