"""Signed URLs and sessions that ran out: the time, and what to do, instead of "check the credentials"."""

from datetime import UTC, datetime, timedelta

import pytest
from odd_servers import Reply, served

from streamaug.errors import StorageError
from streamaug.shards import ShardSet
from streamaug.storage import Storage, StorageOptions
from streamaug.storage.remote.web import expiry_of

PAST = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
AWS = "X-Amz-Date=20240102T020405Z&X-Amz-Expires=3600&X-Amz-Signature=planted"
QUERIES = {
    "aws": AWS,
    "google": "X-Goog-Date=20240102T020405Z&X-Goog-Expires=3600&X-Goog-Signature=planted",
    "azure": "sv=2021-08-06&se=2024-01-02T03%3A04%3A05Z&sr=b&sig=planted",
    "cloudfront, and aws before": f"Expires={int(PAST.timestamp())}&Signature=planted",
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_signature_says_until_when_it_holds(name):
    assert expiry_of(f"https://h/?{QUERIES[name]}") == PAST


@pytest.mark.parametrize("query", ["", "sig=1", "X-Amz-Date=x&X-Amz-Expires=1", "Expires=never", "se=x&sig=1", "id=7"])
def test_a_query_that_says_nothing_of_it_says_none(query):
    assert expiry_of(f"https://h/?{query}") is None


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize("name", QUERIES)
def test_a_url_that_ran_out_says_so_with_the_time(name, status):
    with served({}, lambda server, request: Reply(status)) as (server, base):
        url = f"{base}/a.tar?{QUERIES[name]}"
        with pytest.raises(StorageError, match=r"ran out at 2024-01-02 03:04:05 UTC.*Sign the URL anew") as caught:
            Storage(StorageOptions()).read(url, 0, 10)
        assert len(server.requests) == 1
        assert "planted" not in str(caught.value)
        with pytest.raises(StorageError, match="ran out"):
            ShardSet.open(url)


def test_a_url_that_still_holds_is_not_said_to_have_run_out():
    begun = f"{datetime.now(UTC) - timedelta(minutes=5):%Y%m%dT%H%M%SZ}"
    query = f"X-Amz-Date={begun}&X-Amz-Expires=3600&X-Amz-Signature=1"
    with served({}, lambda server, request: Reply(403)) as (_, base):
        with pytest.raises(StorageError, match="403") as caught:
            Storage(StorageOptions()).read(f"{base}/a.tar?{query}", 0, 10)
        assert "ran out" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
        b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>",
        b"<Error><Code>AuthenticationFailed</Code><AuthenticationErrorDetail>Signature not valid in the specified "
        b"time frame</AuthenticationErrorDetail></Error>",
    ],
)
def test_what_the_server_says_of_it_counts_too(body, monkeypatch):
    with served({}, lambda server, request: Reply(403, {}, body)) as (_, base):
        with pytest.raises(StorageError, match=r"signature ran out.*Sign the URL anew"):
            Storage(StorageOptions()).read(f"{base}/a.tar?sig=1", 0, 10)
        for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "y"), ("REGION", "us-east-1")):
            monkeypatch.setenv(f"AWS_{name}", value)
        with pytest.raises(StorageError, match="Renew the credentials"):
            Storage(StorageOptions(endpoint=base)).read("s3://bucket/a.tar", 0, 10)
