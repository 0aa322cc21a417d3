"""CRC-32C of a sample's bytes (RFC 3720, appendix B.4), the checksum that object stores use as well."""

import crc32c as library

from streamaug.batch import Encoded


def crc32c(data: Encoded) -> int:
    """The CRC-32C of bytes, 0 to 2³² − 1."""
    return int(library.crc32c(data))
