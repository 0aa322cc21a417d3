"""Bridges to the loops of other libraries: a module for each library, which no other module imports."""
