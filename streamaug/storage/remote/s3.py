"""S3 and services with its protocol: s3:// URLs, and endpoints and profiles of the environment.

obstore reads keys of AWS from variables, web identities, container and instance roles by itself.
"""

from typing import TYPE_CHECKING, Any

from obstore import store as stores

from streamaug.storage.options import StorageOptions
from streamaug.storage.remote.aws_profile import aws_profile
from streamaug.storage.remote.environment import checked_endpoint, first_endpoint, first_set, stripped
from streamaug.storage.remote.failures import RequestError
from streamaug.storage.remote.provider import Provider, allow_plain_http, bucket_of

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: Variables of AWS's keys, apart from profiles and the instance's own role.
_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
#: Settings that obstore reads from these variables unchanged, line breaks included.
_SETTINGS = {
    "access_key_id": ("AWS_ACCESS_KEY_ID",),
    "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "session_token": ("AWS_SESSION_TOKEN",),
}


class S3(Provider):
    """A bucket, opened by the settings that AWS's own tools use."""

    def open(self, base: str, options: StorageOptions, arguments: dict[str, Any]) -> "ObjectStore":
        """A client of one bucket, with the keys, region and endpoint of the environment or of its profile."""
        profile = aws_profile(keys=not options.anonymous)
        config: Any = {}
        # Keys: none, the profile's, or those that obstore reads by itself.
        if options.anonymous:
            config["skip_signature"] = True
        elif profile.provider is not None:
            arguments["credential_provider"] = profile.provider
        elif first_set("AWS_EC2_METADATA_DISABLED").lower() == "true" and not first_set(*_KEYS):
            raise RequestError("no credentials of AWS in the environment, and AWS_EC2_METADATA_DISABLED forbids to ask")
        else:
            config |= stripped(_SETTINGS)
            if metadata := first_endpoint("AWS_METADATA_ENDPOINT"):
                config["metadata_endpoint"] = metadata
        # Region and endpoint: of the option, the environment, the profile.
        endpoint = options.endpoint or first_endpoint("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
        if not endpoint and profile.endpoint:
            endpoint = checked_endpoint(profile.endpoint, "endpoint_url of the AWS profile")
        region = options.region or first_set("AWS_REGION", "AWS_DEFAULT_REGION") or profile.region
        if endpoint:
            config["endpoint"] = endpoint
        if region:
            config["region"] = region
        allow_plain_http(arguments, endpoint)
        return stores.S3Store(bucket_of(base), config=config, **arguments)
