"""Bridges to the loops of other libraries: a module for each library, which nothing else imports."""
