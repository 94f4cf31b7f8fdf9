"""Time's door: what nobody waits for."""
