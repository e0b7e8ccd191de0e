"""What all processes of the fleet agree on, from messages to the life of a process."""
