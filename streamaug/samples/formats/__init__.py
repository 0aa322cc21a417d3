"""The image formats that can be read, a module each: how a header is parsed, and where the picture's bytes end."""
