"""Bridges to other libraries' loops; each in a module of its own, imported only by whoever wants it."""
