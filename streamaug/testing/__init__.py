"""Proofs for stages of your own: the tests that streamaug's stages pass, to be called from your tests."""

from streamaug.testing.resume import assert_resumes_exactly, differences

__all__ = ["assert_resumes_exactly", "differences"]
