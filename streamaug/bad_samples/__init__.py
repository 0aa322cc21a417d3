"""Bad samples: which sample stands in for each, and where they are recorded.

stand_ins (which samples, in which order) → substitution (reads and checks them) → quarantine (the record)
"""
