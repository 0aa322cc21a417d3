"""Azure Blob Storage: az:// and abfs(s):// URLs, and the variables and the login of Azure's command line.

obstore reads Azure's keys, SAS tokens, client secrets, workload and managed identities by itself.
"""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obstore import store as stores

from streamaug.storage.options import StorageOptions
from streamaug.storage.remote.environment import checked_endpoint, first_set
from streamaug.storage.remote.failures import RequestError
from streamaug.storage.remote.provider import Provider, allow_plain_http, bucket_of

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: Variables of one setting, in the order in which they count: obstore's own, then the command line's.
_VARIABLES = {
    "account_name": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"),
    "account_key": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_KEY"),
    "sas_token": ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"),
    "endpoint": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "AZURE_STORAGE_BLOB_ENDPOINT"),
}
#: Variables that name an identity; where one is set, the command line's login is not used.
_IDENTITIES = (
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_STORAGE_TOKEN",
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
)
#: Names of a connection string.
_CONNECTION = {
    "accountname": "account_name",
    "accountkey": "account_key",
    "sharedaccesssignature": "sas_token",
    "blobendpoint": "endpoint",
}


class Azure(Provider):
    """A container; settings come from the variables first, then the connection string, then the login of `az`."""

    def open(self, base: str, options: StorageOptions, arguments: dict[str, Any]) -> "ObjectStore":
        """A client of one container."""
        settings = _connection() | {name: value for name, names in _VARIABLES.items() if (value := first_set(*names))}
        if options.endpoint is not None:
            settings["endpoint"] = options.endpoint
        elif "endpoint" in settings:
            names = " or ".join((*_VARIABLES["endpoint"], "AZURE_STORAGE_CONNECTION_STRING"))
            settings["endpoint"] = checked_endpoint(settings["endpoint"], names)
        config: Any = dict(settings)
        if options.anonymous:
            for secret in ("account_key", "sas_token"):
                config.pop(secret, None)
            config["skip_signature"] = True
        elif not ({"account_key", "sas_token"} & settings.keys()) and not first_set(*_IDENTITIES) and _is_logged_in():
            config["use_azure_cli"] = True
        allow_plain_http(arguments, config.get("endpoint", ""))
        container = bucket_of(base)
        if base.startswith("abfs"):
            return stores.AzureStore.from_url(base, config=config, **arguments)
        return stores.AzureStore(container, config=config, **arguments)


def _connection() -> dict[str, str]:
    """The settings of AZURE_STORAGE_CONNECTION_STRING."""
    text = first_set("AZURE_STORAGE_CONNECTION_STRING")
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    if any(not separator for _, separator, _ in pairs):
        raise RequestError("AZURE_STORAGE_CONNECTION_STRING must be name=value;name=value, got something else")
    return {_CONNECTION[name.lower()]: value for name, _, value in pairs if name.lower() in _CONNECTION}


def _is_logged_in() -> bool:
    """Whether Azure's command line is installed and has a login."""
    folder = Path(os.environ.get("AZURE_CONFIG_DIR") or Path.home() / ".azure")
    return shutil.which("az") is not None and (folder / "azureProfile.json").is_file()
