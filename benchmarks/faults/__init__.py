"""What happens when a part dies, hangs or fills up under load: each fault on the real program, with a verdict."""
