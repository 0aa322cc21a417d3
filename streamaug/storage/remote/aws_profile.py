"""AWS profile files, which obstore does not read: keys, region and endpoint of the profile in use.

In: ~/.aws/config and ~/.aws/credentials, or the files that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name, and
AWS_PROFILE. Out: region, endpoint, and a provider of keys: keys in the files, or keys that boto3 fetches (of an assumed
role, single sign-on, a process). It shows and logs nothing.
"""

import configparser
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from streamaug.storage.remote.failures import RequestError

if TYPE_CHECKING:
    from obstore.store import S3Credential

#: Where one of these is set, AWS's tools take the keys from it and not from a profile.
_BEFORE_PROFILES = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE")
#: A profile with one of these fetches its keys.
_FETCHED = ("role_arn", "sso_session", "sso_start_url", "credential_process", "login_session")


class AwsProfile(NamedTuple):
    """The settings of a profile.

    Attributes:
        region: Its region, "" if it has none.
        endpoint: The URL of its S3 service, "" if it has none.
        provider: Returns its keys; None where it has none or the environment has others.
    """

    region: str
    endpoint: str
    provider: "Callable[[], S3Credential] | None"


def aws_profile(*, keys: bool) -> AwsProfile:
    """The profile in use: AWS_PROFILE's, or "default".

    Args:
        keys: Whether to look for its keys too; if not, a profile that does not exist is no error.

    Raises:
        RequestError: If no file has the profile that AWS_PROFILE names, or its keys need boto3, which is not installed.
    """
    config, credentials = _parsed("AWS_CONFIG_FILE", "config"), _parsed("AWS_SHARED_CREDENTIALS_FILE", "credentials")
    name = os.environ.get("AWS_PROFILE") or "default"
    section = name if name == "default" else f"profile {name}"
    settings = _section(config, section) | _section(credentials, name)
    wanted = keys and not any(os.environ.get(variable) for variable in _BEFORE_PROFILES)
    if not settings and os.environ.get("AWS_PROFILE") and wanted:
        raise RequestError(f"AWS_PROFILE must name a profile of the AWS configuration files, got {name!r}")
    services = _section(config, f"services {settings['services']}") if settings.get("services") else {}
    endpoint = _nested(services.get("s3", "")).get("endpoint_url") or settings.get("endpoint_url", "")
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        endpoint = ""
    return AwsProfile(settings.get("region", ""), endpoint, _provider(name, settings) if wanted else None)


def _provider(name: str, profile: dict[str, str]) -> "Callable[[], S3Credential] | None":
    how = next((setting for setting in _FETCHED if profile.get(setting)), None)
    if how is not None:
        return _fetched(name, how)
    access, secret = profile.get("aws_access_key_id"), profile.get("aws_secret_access_key")
    if not access or not secret:
        return None
    # As a provider, since obstore would add AWS_SESSION_TOKEN of the environment, which belongs to other keys.
    token = profile.get("aws_session_token")
    return lambda: {"access_key_id": access, "secret_access_key": secret, "token": token, "expires_at": None}


def _parsed(variable: str, name: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    path = Path(os.environ.get(variable) or Path("~/.aws", name)).expanduser()
    try:
        parser.read(path)
    except (configparser.Error, UnicodeDecodeError) as error:
        # The parser's own text quotes the line, which may hold a key.
        raise RequestError(f"{path} must be an AWS configuration file, got {type(error).__name__}") from None
    return parser


def _section(parser: configparser.RawConfigParser, name: str) -> dict[str, str]:
    return dict(parser.items(name)) if parser.has_section(name) else {}


def _nested(text: str) -> dict[str, str]:
    """The indented `name = value` lines of a setting that is a section of its own."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _fetched(profile: str, how: str) -> "Callable[[], S3Credential]":
    """Keys of a profile that names a role, a sign-on or a process: boto3 knows the protocols."""
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        what = f"the AWS profile {profile!r} fetches its keys ({how}), which needs boto3"
        raise RequestError(f"{what}: pip install 'streamaug[aws]'") from None
    try:
        fetch = Boto3CredentialProvider(boto3.Session(profile_name=profile))
    except (BotoCoreError, ValueError) as error:
        raise RequestError(f"the AWS profile {profile!r} ({how}) gave {type(error).__name__}") from None

    def keys() -> "S3Credential":
        try:
            return fetch()
        except (BotoCoreError, ClientError) as error:
            # The text of a process or a server stays out of messages: it may hold a secret.
            raise RuntimeError(f"the AWS profile {profile!r} ({how}) gave {type(error).__name__}") from None

    return keys
