"""`Encoded`: the bytes of an image file or of another component, as any of Python's buffers.

It stands apart from `batch`, whose tensors need torch: commands that only read, check or write bytes start without
torch.
"""

Encoded = bytes | bytearray | memoryview
