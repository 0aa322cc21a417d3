"""`Encoded`: the bytes of an image file or of another component, as any of Python's buffers.

It stands apart from `batch`, whose tensors need torch: what only reads, checks or writes bytes starts without it.
"""

Encoded = bytes | bytearray | memoryview
