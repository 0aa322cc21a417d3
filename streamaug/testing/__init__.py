"""Proofs for stages of your own: call from your tests what streamaug's own stages are tested by."""

from streamaug.testing.resume import assert_resumes_exactly, differences

__all__ = ["assert_resumes_exactly", "differences"]
