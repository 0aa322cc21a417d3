"""What obstore does not read of the environment by itself, for each provider as its own tools read it.

obstore reads keys of AWS from variables, web identities, container and instance roles; Google's application default
credentials; Azure's keys, SAS tokens, client secrets, workload and managed identities. Here are the rest: endpoints,
AWS's profiles, the variables of Azure's command line and its login. Nothing is kept, shown or logged.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from streamaug.storage.aws_profile import aws_profile
from streamaug.storage.failures import RequestError
from streamaug.storage.options import StorageOptions

#: Where AWS's keys come from, profiles and the instance's own role apart.
_AWS_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
#: Names of one setting of Azure, in the order in which they count: obstore's own, then the command line's.
_AZURE = {
    "account_name": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"),
    "account_key": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_KEY"),
    "sas_token": ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"),
    "endpoint": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "AZURE_STORAGE_BLOB_ENDPOINT"),
}
#: What an Azure identity is found by; where one is set, the command line's login is not asked.
_AZURE_IDENTITIES = (
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_STORAGE_TOKEN",
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
)
_CONNECTION = {
    "accountname": "account_name",
    "accountkey": "account_key",
    "sharedaccesssignature": "sas_token",
    "blobendpoint": "endpoint",
}


def s3_settings(options: StorageOptions) -> dict[str, Any]:
    """Arguments of an `S3Store`: its configuration, and a provider of keys where a profile needs one.

    Raises:
        RequestError: If the profile that the environment names cannot be used.
    """
    profile = aws_profile(keys=not options.anonymous)
    config: dict[str, Any] = {}
    arguments: dict[str, Any] = {"config": config}
    if options.anonymous:
        config["skip_signature"] = True
    elif profile.provider is not None:
        arguments["credential_provider"] = profile.provider
    elif os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true" and not _first(_AWS_KEYS):
        raise RequestError("no credentials of AWS in the environment, and AWS_EC2_METADATA_DISABLED forbids to ask")
    endpoint = options.endpoint or _first(("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"))
    region = options.region or _first(("AWS_REGION", "AWS_DEFAULT_REGION"))
    named = {"endpoint": endpoint or profile.endpoint, "region": region or profile.region}
    config |= {name: value for name, value in named.items() if value}
    return arguments


def gcs_settings(options: StorageOptions) -> dict[str, Any]:
    """Arguments of a `GCSStore`: STORAGE_EMULATOR_HOST, as Google's libraries read it, is unsigned."""
    emulator = _first(("STORAGE_EMULATOR_HOST",))
    config: dict[str, Any] = {}
    endpoint = options.endpoint or (emulator if "://" in emulator or not emulator else f"http://{emulator}")
    if endpoint:
        config["base_url"] = endpoint
    if options.anonymous or (emulator and options.endpoint is None):
        config["skip_signature"] = True
    return {"config": config}


def azure_settings(options: StorageOptions) -> dict[str, Any]:
    """Arguments of an `AzureStore`: variables first, then the connection string, then the login of `az`.

    Raises:
        RequestError: If AZURE_STORAGE_CONNECTION_STRING is none.
    """
    found = {name: value for name, variables in _AZURE.items() if (value := _first(variables))}
    found = _connection() | found
    if options.endpoint is not None:
        found["endpoint"] = options.endpoint
    config: dict[str, Any] = dict(found)
    if options.anonymous:
        for secret in ("account_key", "sas_token"):
            config.pop(secret, None)
        config["skip_signature"] = True
    elif not ({"account_key", "sas_token"} & found.keys()) and not _first(_AZURE_IDENTITIES) and _is_logged_in():
        config["use_azure_cli"] = True
    return {"config": config}


def _first(variables: tuple[str, ...]) -> str:
    """The first of the variables that is set and not empty, or ""."""
    return next((os.environ[name] for name in variables if os.environ.get(name)), "")


def _connection() -> dict[str, str]:
    """What AZURE_STORAGE_CONNECTION_STRING says."""
    text = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    if any(not separator for _, separator, _ in pairs):
        raise RequestError("AZURE_STORAGE_CONNECTION_STRING must be name=value;name=value, got something else")
    return {_CONNECTION[name.lower()]: value for name, _, value in pairs if name.lower() in _CONNECTION}


def _is_logged_in() -> bool:
    """Whether Azure's command line is there and has a login."""
    folder = Path(os.environ.get("AZURE_CONFIG_DIR") or Path.home() / ".azure")
    return shutil.which("az") is not None and (folder / "azureProfile.json").is_file()
