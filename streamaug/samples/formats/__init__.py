"""The supported image formats, a module for each: it parses a header, and finds the end of the picture's bytes."""
