import pytest
from odd_servers import Reply, served
from servers import answering

from streamaug.errors import StorageError
from streamaug.storage import Storage, StorageOptions
from streamaug.storage.remote.guard import reason_of


@pytest.fixture(params=["http", "s3"])
def read(request, monkeypatch):
    """A function that reads an object by way of that scheme."""
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "y"), ("REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)

    def of(base, **options):
        url = f"{base}/a.tar" if request.param == "http" else "s3://bucket/a.tar"
        endpoint = None if request.param == "http" else base
        return Storage(StorageOptions(endpoint=endpoint, **options)).read(url, 100, 200)

    return of


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 410, 412, 416, 422, 501])
def test_what_cannot_get_better_is_said_without_trying_it_again(read, status):
    with answering(status) as (seen, base), pytest.raises(StorageError, match=r"a\.tar.*Check"):
        read(base)
    assert seen["requests"] <= 3


@pytest.mark.slow
@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 507])
def test_what_may_pass_is_tried_again_until_the_deadline(read, status):
    with answering(status) as (seen, base), pytest.raises(StorageError, match=r"a\.tar.*tries.*deadline"):
        read(base, deadline=1.0, request_timeout=0.5)
    assert seen["requests"] >= 3


@pytest.mark.parametrize(
    ("status", "code", "fix"),
    [
        (403, "RequestTimeTooSkewed", "Set this machine's clock"),
        (403, "InvalidObjectState", "Restore the object from its archive"),
        (403, "SignatureDoesNotMatch", "Check the credentials"),
        (400, "ExpiredToken", "Renew the credentials"),
        (400, "AuthorizationHeaderMalformed", "Set the bucket's region"),
    ],
)
def test_the_code_of_a_refusal_decides_what_to_mend(monkeypatch, status, code, fix):
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "y"), ("REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    with served({}, lambda server, request: Reply(status, {}, body)) as (server, base):
        with pytest.raises(StorageError, match=rf"a\.tar: .*{code}.*{fix}"):
            Storage(StorageOptions(endpoint=base, deadline=10)).read("s3://bucket/a.tar", 100, 200)
        assert len(server.requests) <= 3


def test_a_range_beyond_the_end_says_that_the_object_is_too_short(in_s3):
    storage = Storage(StorageOptions(deadline=5))
    url = in_s3 + "x-000000.tar"
    size = storage.size(url)
    assert bytes(storage.read_some(url, size, size + 10)) == b""
    assert len(storage.read_some(url, size - 10, size + 10)) == 10
    for start in (size - 10, size, size + 1000):
        with pytest.raises(StorageError, match=r"x-000000\.tar.*shorter than its index"):
            storage.read(url, start, start + 100)


def test_reasons_leave_out_what_servers_echo():
    body = (
        "Error performing GET http://user:planted@h/b/a.tar?X-Amz-Signature=planted in 1ms - Server returned non-2xx "
        "status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>planted</AWSAccessKeyId>"
    )
    text = reason_of(RuntimeError(body))
    assert "planted" not in text
    assert "403 Forbidden" in text
    assert "SignatureDoesNotMatch" in text
