"""CRC-32C of a sample's bytes (RFC 3720, appendix B.4), the checksum that object stores use as well."""

import google_crc32c

from streamaug.batch import Encoded


def crc32c(data: Encoded) -> int:
    """The CRC-32C of bytes, 0 to 2³² − 1."""
    return int(google_crc32c.value(data))
