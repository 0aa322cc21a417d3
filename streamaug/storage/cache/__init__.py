"""Blocks of remote objects kept on disk: blocks (files, checked) within a space, read through reader, under locks."""
