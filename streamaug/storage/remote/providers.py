"""The table of providers: a new kind of object store is a row here and a file in this folder."""

from streamaug.storage.remote.azure import Azure
from streamaug.storage.remote.gcs import GoogleCloud
from streamaug.storage.remote.hugging_face import HuggingFace
from streamaug.storage.remote.provider import Provider
from streamaug.storage.remote.s3 import S3
from streamaug.storage.remote.web import Web

#: Providers by the scheme of their URLs.
PROVIDERS: dict[str, Provider] = {
    "s3": S3(),
    "s3a": S3(),
    "gs": GoogleCloud(),
    "az": Azure(),
    "azure": Azure(),
    "adl": Azure(),
    "abfs": Azure(),
    "abfss": Azure(),
    "http": Web(),
    "https": Web(),
    "hf": HuggingFace(),
}
