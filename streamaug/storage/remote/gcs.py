"""Google Cloud Storage: gs:// URLs, and the emulator's variable, which obstore does not read by itself.

obstore reads Google's application default credentials.
"""

from typing import TYPE_CHECKING, Any

from obstore import store as stores

from streamaug.storage.options import StorageOptions
from streamaug.storage.remote.environment import checked_endpoint, first_set
from streamaug.storage.remote.provider import Provider, allow_plain_http, bucket_of

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class GoogleCloud(Provider):
    """A bucket; STORAGE_EMULATOR_HOST gets unsigned requests, as from Google's libraries."""

    def open(self, base: str, options: StorageOptions, arguments: dict[str, Any]) -> "ObjectStore":
        """A client of one bucket."""
        emulator = first_set("STORAGE_EMULATOR_HOST")
        config: Any = {}
        endpoint = options.endpoint or (emulator if "://" in emulator or not emulator else f"http://{emulator}")
        if endpoint:
            endpoint = checked_endpoint(endpoint, "STORAGE_EMULATOR_HOST")
        if endpoint:
            config["base_url"] = endpoint
        if options.anonymous or (emulator and options.endpoint is None):
            config["skip_signature"] = True
        allow_plain_http(arguments, endpoint)
        return stores.GCSStore(bucket_of(base), config=config, **arguments)
