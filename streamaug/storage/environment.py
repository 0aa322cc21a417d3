"""What obstore does not read of the environment by itself: the endpoints of each provider, and AWS profile files.

obstore reads keys from environment variables, web identities, container and instance roles, Google's application
default credentials and Azure's variables. Nothing here is kept, shown or logged.
"""

import configparser
import os
from pathlib import Path

_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "s3a": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    "azure": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
#: Where one of these is set, AWS tools use it and not a profile's keys.
_BEFORE_PROFILES = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE")
_KEYS = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
}


def environment_endpoint(scheme: str) -> str:
    """The endpoint that the environment names for a scheme, or ""."""
    return next((os.environ[name] for name in _ENDPOINTS.get(scheme, ()) if os.environ.get(name)), "")


def profile_credentials() -> dict[str, str]:
    """Static keys and region of the AWS profile in use, as obstore's configuration; empty where there is none.

    The profile is AWS_PROFILE's or "default", from ~/.aws/credentials and ~/.aws/config or the files that
    AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name.
    """
    if any(os.environ.get(name) for name in _BEFORE_PROFILES):
        return {}
    profile = os.environ.get("AWS_PROFILE") or "default"
    found: dict[str, str] = {}
    for variable, name, section in (
        ("AWS_CONFIG_FILE", "config", profile if profile == "default" else f"profile {profile}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", profile),
    ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(os.environ.get(variable) or Path("~/.aws", name).expanduser())
        except (configparser.Error, UnicodeDecodeError):
            continue
        if parser.has_section(section):
            found |= dict(parser.items(section))
    out = {ours: found[theirs] for theirs, ours in _KEYS.items() if found.get(theirs)}
    if found.get("region") and not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        out["region"] = found["region"]
    return out if "access_key_id" in out else {}
