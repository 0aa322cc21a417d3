"""Reading the bytes of a sample: its image header, its label, its annotation, and the problem that makes it bad."""
