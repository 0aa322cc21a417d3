"""What becomes of a bad sample: who stands in for it, and where it is written down.

stand_ins (which samples, in which order) → substitution (reads and checks them) → quarantine (the record)
"""
