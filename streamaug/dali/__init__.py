"""Runs recipes on DALI: `engine` drives, `plan` computes DALI's inputs, `graph` builds DALI's operators."""
