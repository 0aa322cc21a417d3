"""The disk cache: blocks (checked files) within a space, read through `reader`, under locks."""
