import base64
import json
import logging
import os
import pickle
import sys
import traceback

import pytest
from remote_shards import NAMES, check_bytes
from servers import (
    AZURE_ACCOUNT,
    AZURE_KEY,
    KEY,
    SECRET,
    answering,
    azure_blobs,
    azurite,
    http_proxy,
    proxy_before,
    s3_environment,
)

from streamaug.errors import StorageError
from streamaug.shards import ShardSet
from streamaug.storage import Storage, StorageOptions


@pytest.mark.slow
def test_the_endpoint_may_be_an_option(stored, folder, monkeypatch):
    s3_environment(monkeypatch, "http://127.0.0.1:9")
    for name in ("AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name)
    options = StorageOptions(endpoint=f"http://{stored[0]}:{stored[1]}", region="us-east-1", deadline=20)
    check_bytes(Storage(options), "s3://bucket/some folder/", folder, 3)


@pytest.fixture
def profiles(tmp_path, monkeypatch):
    """A function that writes AWS's two files, which are all that the environment then names of AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)

    def write(config, credentials=""):
        (tmp_path / "config").write_text(config)
        (tmp_path / "credentials").write_text(credentials)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))

    return write


KEYS = f"aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
WRONG_KEYS = "[default]\naws_access_key_id = x\naws_secret_access_key = y\n"


def test_keys_of_a_profile_are_used_as_aws_tools_use_them(stored, folder, monkeypatch, profiles):
    profiles("[profile t]\nregion = us-east-1\n", f"{WRONG_KEYS}[t]\n{KEYS}")
    options = StorageOptions(endpoint=f"http://{stored[0]}:{stored[1]}", deadline=5)
    with pytest.raises(StorageError, match="credentials"):
        Storage(options).read(f"s3://bucket/some folder/{NAMES[0]}", 0, 10)
    monkeypatch.setenv("AWS_PROFILE", "t")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of other keys")
    check_bytes(Storage(options), "s3://bucket/some folder/", folder, 2)


def test_unsigned_requests_need_no_profile(folder, tmp_path, monkeypatch, profiles):
    profiles("[default]\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_PROFILE", "absent")
    (tmp_path / "bucket" / "some folder").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "bucket" / "some folder" / name).write_bytes((folder / name).read_bytes())
    with http_proxy(tmp_path) as (proxy, base):
        options = StorageOptions(endpoint=base, region="us-east-1", anonymous=True, deadline=5)
        check_bytes(Storage(options), "s3://bucket/some folder/", folder, 2)
        assert set(proxy.authorizations) == {""}


def test_user_and_password_of_a_url_are_sent_and_certificates_are_read(folder, tmp_path, monkeypatch):
    with http_proxy(folder) as (proxy, base):
        storage = Storage(StorageOptions(deadline=5))
        url = f"{base.replace('//', '//me:pass%21@')}/{NAMES[0]}"
        assert bytes(storage.read(url, 0, 10)) == (folder / NAMES[0]).read_bytes()[:10]
        assert list(proxy.authorizations) == ["Basic " + base64.b64encode(b"me:pass!").decode()]
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "absent.pem"))
        with pytest.raises(StorageError, match=r"absent\.pem"):
            Storage(StorageOptions()).read(url, 0, 10)


@pytest.mark.parametrize("where", ["profile", "services"])
def test_a_profile_may_name_endpoint_and_region_for_keys_of_the_environment(
    stored, folder, monkeypatch, profiles, where
):
    """As AWS's tools do since 2023; a service's own endpoint counts before that of all."""
    endpoint = f"endpoint_url = http://{stored[0]}:{stored[1]}"
    if where == "profile":
        profiles(f"[default]\nregion = us-east-1\n{endpoint}\n")
    else:
        wrong = "endpoint_url = http://127.0.0.1:9"
        profiles(f"[default]\nregion = us-east-1\nservices = own\n{wrong}\n[services own]\ns3 =\n  {endpoint}\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    check_bytes(Storage(StorageOptions(deadline=5)), "s3://bucket/some folder/", folder, 2)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:9"):
        Storage(StorageOptions(deadline=0.5)).read(f"s3://bucket/some folder/{NAMES[0]}", 0, 10)


def test_keys_that_a_process_gives_are_used(stored, folder, tmp_path, profiles):
    """By boto3, as those of an assumed role and of single sign-on are."""
    answer = {"Version": 1, "AccessKeyId": KEY, "SecretAccessKey": SECRET}
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    profiles(f"[default]\nregion = us-east-1\ncredential_process = cat {tmp_path / 'answer.json'}\n")
    options = StorageOptions(endpoint=f"http://{stored[0]}:{stored[1]}", deadline=5)
    check_bytes(Storage(options), "s3://bucket/some folder/", folder, 2)


def test_a_process_that_gives_no_keys_is_named_and_not_quoted(stored, profiles):
    profiles("[default]\nregion = us-east-1\ncredential_process = sh -c 'echo planted-secret >&2; exit 3'\n")
    options = StorageOptions(endpoint=f"http://{stored[0]}:{stored[1]}", deadline=1)
    with pytest.raises(StorageError, match=r"'default'.*credential_process") as caught:
        Storage(options).read(f"s3://bucket/some folder/{NAMES[0]}", 0, 10)
    assert "planted" not in "".join(traceback.format_exception(caught.value))


def test_fetched_keys_without_boto3_are_an_error_that_says_so(monkeypatch, profiles):
    profiles("[default]\nregion = us-east-1\nrole_arn = arn:aws:iam::1:role/t\nsource_profile = default\n")
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(StorageError, match=r"role_arn.*streamaug\[aws\]"):
        Storage(StorageOptions()).read(f"s3://bucket/some folder/{NAMES[0]}", 0, 10)


@pytest.mark.parametrize(
    ("config", "profile", "words"),
    [
        ("[default]\nregion = us-east-1\n", "absent", "AWS_PROFILE.*'absent'"),
        ("region = planted\n", "", "MissingSectionHeaderError"),
        ("[default]\nplanted\n", "", "ParsingError"),
    ],
)
def test_profiles_that_cannot_be_used_are_an_error_of_one_try(monkeypatch, profiles, config, profile, words):
    profiles(config)
    monkeypatch.setenv("AWS_PROFILE", profile)
    with pytest.raises(StorageError, match=rf"after 1 try.*{words}") as caught:
        Storage(StorageOptions()).read("s3://bucket/a.tar", 0, 10)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_google_and_azure_without_keys_give_the_bytes_of_the_file(folder, tmp_path, monkeypatch, scheme):
    """Unsigned, from a server that serves bucket/object as theirs do."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    (tmp_path / "bucket" / "some folder").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "bucket" / "some folder" / name).write_bytes((folder / name).read_bytes())
    with http_proxy(tmp_path) as (_, base):
        storage = Storage(StorageOptions(endpoint=base, anonymous=True, deadline=10))
        check_bytes(storage, f"{scheme}://bucket/some folder/", folder, 3)
        assert storage.read_all(f"{scheme}://bucket/none.json") is None


def test_no_secret_in_messages_logs_or_states(stored, folder, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    text = ""
    with proxy_before(stored, lambda method, path, number: 500 if "000001" in path else None) as (_, endpoint):
        s3_environment(monkeypatch, endpoint)
        options = StorageOptions(deadline=1.0, request_timeout=0.5)
        storage = Storage(options)
        for secret, name in ((SECRET, NAMES[1]), ("planted-secret-wrong", NAMES[0])):
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
            storage = Storage(options)
            with pytest.raises(StorageError) as caught:
                storage.read(f"s3://bucket/some folder/{name}", 0, 10)
            text += "".join(traceback.format_exception(caught.value)) + repr(caught.value.__cause__)
    with pytest.raises(StorageError) as caught:
        Storage(options).read("http://user:planted-secret-url@127.0.0.1:9/a.tar?X-Sig=planted-secret-sig", 0, 10)
    text += str(caught.value) + repr(caught.value.__cause__)
    text += repr(options) + repr(storage) + str(pickle.dumps(storage)) + caplog.text
    for secret in (KEY, "planted-secret"):
        assert secret not in text
    assert "a.tar" in text
    assert "x-000001.tar" in text


@pytest.fixture(scope="module")
def azure(folder):
    """Azurite with the shards in a container; gives its endpoint."""
    if azurite() is None:
        pytest.skip("Azurite is not installed: it needs npm, then `make test` installs it")
    with azure_blobs("box") as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT)
        patch.setenv("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY)
        storage = Storage(StorageOptions(endpoint=endpoint, deadline=30))
        for name in NAMES:
            storage.write(f"az://box/some folder/{name}", (folder / name).read_bytes())
        yield endpoint


CONNECTION = f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};AccountKey={AZURE_KEY};BlobEndpoint="


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {"AZURE_STORAGE_ACCOUNT_NAME": AZURE_ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY},
        {"AZURE_STORAGE_ACCOUNT": AZURE_ACCOUNT, "AZURE_STORAGE_KEY": AZURE_KEY},
        {"AZURE_STORAGE_CONNECTION_STRING": CONNECTION},
    ],
    ids=["names of obstore", "names of the command line", "connection string"],
)
def test_azure_takes_the_requests_that_the_environment_signs(azure, folder, no_azure, variables):
    for name, value in variables.items():
        no_azure.setenv(name, value + azure if value == CONNECTION else value)
    options = StorageOptions(endpoint=None if len(variables) == 1 else azure, deadline=10)
    check_bytes(Storage(options), "az://box/some folder/", folder, 3)
    assert Storage(options).read_all("az://box/none.json") is None
    shards = ShardSet.open("az://box/some folder/x-{000000..000002}.tar", storage=options)
    assert shards.fingerprint == ShardSet.open(str(folder / "x-{000000..000002}.tar")).fingerprint


def test_azure_refuses_a_wrong_key(azure, no_azure):
    no_azure.setenv("AZURE_STORAGE_ACCOUNT", AZURE_ACCOUNT)
    no_azure.setenv("AZURE_STORAGE_KEY", AZURE_KEY.replace("E", "F", 1))
    with pytest.raises(StorageError, match=r"403.*Check the credentials") as caught:
        Storage(StorageOptions(endpoint=azure)).read(f"az://box/some folder/{NAMES[0]}", 0, 10)
    assert AZURE_KEY[1:40] not in "".join(traceback.format_exception(caught.value))


@pytest.fixture
def no_azure(monkeypatch):
    """An environment that names nothing of Azure."""
    for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "MSI_"))]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_the_login_of_azures_command_line_is_used(folder, tmp_path, no_azure):
    """`az` itself cannot log in here, so a script stands for it; the token that it prints must reach the server."""
    expires = "2999-01-01 00:00:00.000000"
    token = {"accessToken": "planted-token", "expiresOn": expires, "expires_on": 32472144000, "tokenType": "Bearer"}
    token |= {"subscription": "s", "tenant": "t"}
    program = tmp_path / "bin" / "az"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(token)}\nEND\n")
    program.chmod(0o755)
    (tmp_path / "azureProfile.json").write_text("{}")
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / NAMES[0]).write_bytes((folder / NAMES[0]).read_bytes())
    no_azure.setenv("PATH", str(program.parent), prepend=os.pathsep)
    no_azure.setenv("AZURE_CONFIG_DIR", str(tmp_path))
    no_azure.setenv("AZURE_STORAGE_ACCOUNT", "account")
    with http_proxy(tmp_path) as (proxy, base):
        storage = Storage(StorageOptions(endpoint=base, deadline=5))
        assert bytes(storage.read(f"az://box/{NAMES[0]}", 0, 100)) == (folder / NAMES[0]).read_bytes()[:100]
        assert dict(proxy.authorizations) == {"Bearer planted-token": 1}


def test_a_machine_that_must_not_ask_for_a_role_is_told_so_at_once(monkeypatch, profiles):
    profiles("[default]\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StorageError, match=r"1 try.*AWS_EC2_METADATA_DISABLED"):
        Storage(StorageOptions()).read("s3://bucket/a.tar", 0, 10)


def test_a_malformed_connection_string_is_an_error_that_does_not_quote_it(no_azure):
    no_azure.setenv("AZURE_STORAGE_CONNECTION_STRING", "planted")
    with pytest.raises(StorageError, match="AZURE_STORAGE_CONNECTION_STRING") as caught:
        Storage(StorageOptions()).read("az://box/a.tar", 0, 10)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_googles_emulator_is_found_as_googles_libraries_find_it(folder, tmp_path, monkeypatch, scheme):
    (tmp_path / "box" / "some folder").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "box" / "some folder" / name).write_bytes((folder / name).read_bytes())
    with http_proxy(tmp_path) as (proxy, base):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", scheme + base.removeprefix("http://"))
        check_bytes(Storage(StorageOptions(deadline=5)), "gs://box/some folder/", folder, 2)
        assert set(proxy.authorizations) == {""}


@pytest.mark.parametrize("status", [403, 404])
def test_a_machine_without_credentials_asks_once_and_is_told_so(monkeypatch, profiles, status):
    """The service that gives instances their keys answers that it has none."""
    profiles("[default]\nregion = us-east-1\n")
    with answering(status) as (seen, base):
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", base)
        with pytest.raises(StorageError, match=r"after 1 try.*no credentials in the environment.*anonymous"):
            Storage(StorageOptions()).read("s3://bucket/a.tar", 0, 10)
        assert seen["requests"] == 1
