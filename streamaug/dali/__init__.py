"""Runs recipes on DALI: `engine` drives, `plan` computes what DALI is told, `graph` builds what DALI does."""
