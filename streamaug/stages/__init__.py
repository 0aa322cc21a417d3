"""The public stages: thin `IterDataPipe`s around the plain engines."""
