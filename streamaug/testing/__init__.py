"""Proofs for stages of your own: the functions that test streamaug's own stages, for your tests."""

from streamaug.testing.resume import assert_resumes_exactly, differences

__all__ = ["assert_resumes_exactly", "differences"]
