"""Against a hub on this computer that breaks, lies and refuses."""

from __future__ import annotations

import errno
import hashlib
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from fake_hub import FakeHub, noise, running
from huggingface_hub import constants

from ltx_wizard.core.errors import BadInput, BadSetting, DownloadFailed, NoPermission, NoSpace, NotFound
from ltx_wizard.core.events import Event, Progress
from ltx_wizard.core.report import Cancelled, SilentReport
from ltx_wizard.core.run import DownloadJob
from ltx_wizard.models import download, download_plan, hub
from ltx_wizard.models.catalog import LTXV_2B_096_DEV
from ltx_wizard.models.download import run_download
from ltx_wizard.models.download_plan import plan_of, refuse_without_space, wanted_files
from ltx_wizard.models.weights import find_files, missing_parts

SPEC = LTXV_2B_096_DEV
MAIN = "Lightricks/LTX-Video"
BIG = SPEC.address("transformer")[1]
BIG_SIZE = 300_000
TOKEN = "hf_secretsecretsecret"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of the hub's library; breaks are mended at once."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(download, "WAITS_S", (0.01, 0.01, 0.01))
    return tmp_path / "hf" / "hub"


@pytest.fixture
def server() -> Iterator[FakeHub]:
    with running(FakeHub()) as fake:
        fake.fill(SPEC)
        fake.repositories[MAIN][BIG] = noise("big", BIG_SIZE)
        yield fake


def job(server: FakeHub) -> DownloadJob:
    return DownloadJob(model=SPEC.id, endpoint=server.address)


def fetch(server: FakeHub, report: SilentReport | None = None) -> dict[str, Any]:
    return run_download(job(server), report or SilentReport())


def progress_of(report: SilentReport) -> list[Progress]:
    return [event for event in report.events if isinstance(event, Progress) and event.unit == "bytes"]


def log_in(cache: Path, token: str = TOKEN) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    (cache.parent / "token").write_text(token)


class StopsAt(SilentReport):
    """Asks to stop once so many bytes are there."""

    def __init__(self, done: int) -> None:
        super().__init__()
        self._done = done
        self._stop = False

    def emit(self, event: Event) -> None:
        super().emit(event)
        self._stop |= isinstance(event, Progress) and event.unit == "bytes" and event.done >= self._done

    def stop_requested(self) -> bool:
        return self._stop


def test_everything_is_fetched_once_and_found_afterwards(server: FakeHub, cache: Path) -> None:
    assert set(missing_parts(SPEC)) == {"transformer", "vae", "text_encoder", "tokenizer", "scheduler"}
    report = SilentReport()
    result = fetch(server, report)
    files = find_files(SPEC)
    assert files.transformer.read_bytes() == noise("big", BIG_SIZE)
    assert sorted(path.name for path in files.text_encoder.iterdir()) == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    assert result["bytes"] == result["fetched"] > BIG_SIZE
    assert len(server.fetched(BIG)) == 1
    assert not server.fetched(".bin") and not server.fetched("README.md")
    assert not list(cache.rglob("*.incomplete"))
    last = progress_of(report)[-1]
    assert last.done <= last.total == result["bytes"]
    assert all(event.per_second >= 0 for event in progress_of(report))


def test_the_librarys_own_loader_finds_what_was_fetched(server: FakeHub, cache: Path) -> None:
    from huggingface_hub import hf_hub_download

    fetch(server)
    found = hf_hub_download(MAIN, BIG, cache_dir=cache, local_files_only=True)
    assert Path(found).read_bytes() == noise("big", BIG_SIZE)


def test_a_second_time_nothing_is_asked(server: FakeHub) -> None:
    fetch(server)
    server.asked.clear()
    assert fetch(server)["fetched"] == 0
    assert server.asked == []


def test_the_plan_says_what_is_there_and_what_remains(server: FakeHub, cache: Path) -> None:
    files = wanted_files(SPEC, server.address)
    before = plan_of(files)
    assert before.have_bytes == 0
    assert before.total_bytes == sum(file.size for file in files) == before.remaining_bytes
    assert before.place == cache
    assert abs(before.free_bytes - shutil.disk_usage(cache.parents[1]).free) < 2**30
    server.breaks[BIG] = [100_000] * 99
    with pytest.raises(DownloadFailed), pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "WAITS_S", ())
        fetch(server)
    after = plan_of(files)
    assert after.have_bytes == 100_000
    assert {file.path for file in after.missing} == {file.path for file in files}


def test_a_break_in_the_middle_fetches_only_the_rest(server: FakeHub) -> None:
    server.breaks[BIG] = [100_000, 50_000]
    report = SilentReport()
    result = fetch(server, report)
    asked = server.fetched(BIG)
    assert [request.first for request in asked] == [0, 100_000, 150_000]
    assert result["fetched"] == result["bytes"]
    assert find_files(SPEC).transformer.read_bytes() == noise("big", BIG_SIZE)
    assert any("broke. Trying again" in event.stage for event in progress_of(report))


def test_another_process_goes_on_where_a_broken_one_ended(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.breaks[BIG] = [200_000]
    monkeypatch.setattr(download, "WAITS_S", ())
    with pytest.raises(DownloadFailed) as failed:
        fetch(server)
    assert "broke" in failed.value.problem and "where it stopped" in failed.value.remedy
    server.asked.clear()
    result = fetch(server)
    assert [request.first for request in server.fetched(BIG)] == [200_000]
    assert result["fetched"] == result["bytes"] - 200_000


def test_a_server_without_ranges_starts_the_file_again(server: FakeHub) -> None:
    server.ignores_ranges = True
    server.breaks[BIG] = [100_000]
    fetch(server)
    assert find_files(SPEC).transformer.read_bytes() == noise("big", BIG_SIZE)


def test_retries_end_with_what_to_do(server: FakeHub) -> None:
    server.refuse[BIG] = [503] * 99
    with pytest.raises(DownloadFailed) as failed:
        fetch(server)
    assert "503" in failed.value.problem
    assert len([request for request in server.asked if request.path.endswith(BIG)]) == 1 + 3


def test_one_refusal_is_sat_out(server: FakeHub) -> None:
    server.refuse[BIG] = [503, 429]
    fetch(server)
    assert missing_parts(SPEC) == ()


def test_stopping_keeps_what_came_and_goes_on_from_there(server: FakeHub) -> None:
    server.bytes_per_s = 400_000
    with pytest.raises(Cancelled), pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "_TOLD_EVERY_S", 0.02)
        fetch(server, StopsAt(50_000))
    kept = plan_of(wanted_files(SPEC, server.address)).have_bytes
    assert 50_000 <= kept < 250_000
    server.bytes_per_s = 0
    assert fetch(server)["fetched"] == plan_of(wanted_files(SPEC, server.address)).total_bytes - kept


def test_stopping_while_it_waits_for_the_connection_is_immediate(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "WAITS_S", (60.0,))
    server.refuse[BIG] = [503] * 99
    report = StopsAt(0)
    began = time.monotonic()
    with pytest.raises(Cancelled):
        fetch(server, report)
    assert time.monotonic() - began < 30, "it waited for the connection"


def test_a_corrupt_file_is_deleted_and_fetched_once_more(server: FakeHub) -> None:
    server.corrupt[BIG] = 1
    fetch(server)
    assert [request.first for request in server.fetched(BIG)] == [0, 0]
    assert find_files(SPEC).transformer.read_bytes() == noise("big", BIG_SIZE)


def test_a_file_that_stays_corrupt_is_an_error_and_is_not_kept(server: FakeHub, cache: Path) -> None:
    server.corrupt[BIG] = 99
    with pytest.raises(DownloadFailed) as failed:
        fetch(server)
    assert "checksum" in failed.value.problem and BIG in failed.value.problem
    assert len(server.fetched(BIG)) == 2
    assert not list(cache.rglob("*.incomplete"))
    assert "transformer" in missing_parts(SPEC)


def test_small_files_are_verified_by_gits_checksum(server: FakeHub) -> None:
    server.corrupt["tokenizer/spiece.model"] = 99
    with pytest.raises(DownloadFailed) as failed:
        fetch(server)
    assert "spiece.model" in failed.value.problem


def test_a_wrong_partial_file_does_no_harm(server: FakeHub, cache: Path) -> None:
    partial = cache / "models--Lightricks--LTX-Video" / "blobs" / (
        hashlib.sha256(noise("big", BIG_SIZE)).hexdigest() + ".incomplete"
    )  # fmt: skip
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"not these" * 1000)
    fetch(server)
    assert [request.first for request in server.fetched(BIG)] == [9000, 0]
    assert find_files(SPEC).transformer.read_bytes() == noise("big", BIG_SIZE)


@pytest.mark.parametrize("difference", [-1000, 1000])
def test_a_file_of_another_size_than_announced_is_refused(
    server: FakeHub, cache: Path, difference: int
) -> None:
    server.shown_size[BIG] = BIG_SIZE + difference
    with pytest.raises(DownloadFailed) as failed:
        fetch(server)
    assert "bytes instead of" in failed.value.problem
    assert "transformer" in missing_parts(SPEC)
    assert not list(cache.rglob("*.incomplete"))


def test_too_little_space_is_said_before_anything_is_fetched(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=download_plan.SPARE_BYTES + 100_000)
    monkeypatch.setattr(download_plan.shutil, "disk_usage", lambda _: usage)
    plan = plan_of(wanted_files(SPEC, server.address))
    assert plan.short_bytes == plan.total_bytes - 100_000
    with pytest.raises(NoSpace) as failed:
        fetch(server)
    assert "HF_HOME" in failed.value.remedy
    assert not server.fetched(BIG)


def test_space_is_no_matter_where_nothing_remains(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(server)
    usage = shutil.disk_usage("/")._replace(free=1)
    monkeypatch.setattr(download_plan.shutil, "disk_usage", lambda _: usage)
    refuse_without_space(SPEC, plan_of(wanted_files(SPEC, server.address)))


class FullDisk:
    """A file on a disk that takes only so much."""

    def __init__(self, file: BinaryIO, room: int, code: int = errno.ENOSPC) -> None:
        self._file, self._room, self._code = file, room, code

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        written = self._file.write(data[: self._room])
        self._room -= written
        if written < len(data):
            raise OSError(self._code, "the disk does not take it")
        return written


def test_a_disk_that_fills_up_keeps_what_came(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    really_open = download._open_partial
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            download, "_open_partial", lambda path, more: FullDisk(really_open(path, more), 120_000)
        )
        with pytest.raises(NoSpace) as failed:
            fetch(server)
    assert "still to come" in failed.value.problem
    assert "Free " in failed.value.remedy and "where it stopped" in failed.value.remedy
    server.asked.clear()
    fetch(server)
    assert [request.first for request in server.fetched(BIG)] == [120_000]


def test_a_disk_for_small_files_only_is_named(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    really_open = download._open_partial
    monkeypatch.setattr(
        download, "_open_partial", lambda path, more: FullDisk(really_open(path, more), 0, errno.EFBIG)
    )
    with pytest.raises(NoSpace) as failed:
        fetch(server)
    assert "as large" in failed.value.problem


def test_no_rights_in_the_cache_are_said(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    def refuse(path: Path, _: bool) -> BinaryIO:
        raise PermissionError(errno.EACCES, "denied", str(path))

    monkeypatch.setattr(download, "_open_partial", refuse)
    with pytest.raises(NoPermission) as failed:
        fetch(server)
    assert str(cache) in failed.value.problem


def test_a_gate_asks_for_a_token_then_for_the_terms(server: FakeHub, cache: Path) -> None:
    server.gated.add(MAIN)
    server.tokens.add(TOKEN)
    with pytest.raises(NoPermission) as failed:
        fetch(server)
    assert "https://huggingface.co/Lightricks/LTX-Video" in failed.value.remedy
    assert "token" in failed.value.remedy
    log_in(cache)
    with pytest.raises(NoPermission) as failed:
        fetch(server)
    assert "terms" in failed.value.problem and "then press Download" in failed.value.remedy
    server.accepted.add(TOKEN)
    fetch(server)
    assert missing_parts(SPEC) == ()


def test_the_token_goes_to_the_hub_only(server: FakeHub, cache: Path) -> None:
    server.tokens.add(TOKEN)
    log_in(cache)
    report = SilentReport()
    fetch(server, report)
    assert {request.token for request in server.asked if request.server == "hub"} == {TOKEN}
    assert {request.token for request in server.asked if request.server == "store"} == {""}
    assert not any(TOKEN in event.model_dump_json() for event in report.events)
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert files and not any(TOKEN.encode() in path.read_bytes() for path in files)


def test_a_token_that_the_hub_does_not_know_is_said(server: FakeHub, cache: Path) -> None:
    log_in(cache, "hf_of_yesterday")
    with pytest.raises(NoPermission) as failed:
        fetch(server)
    assert "does not accept your token" in failed.value.problem
    assert "hf_of_yesterday" not in failed.value.problem + failed.value.remedy


def test_a_wrong_token_of_the_environment_is_named_by_its_variable(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_yesterday")
    with pytest.raises(NoPermission) as failed:
        fetch(server)
    assert "HF_TOKEN" in failed.value.problem


def test_a_private_model_asks_for_a_token(server: FakeHub) -> None:
    server.private.add(MAIN)
    with pytest.raises(NoPermission) as failed:
        fetch(server)
    assert "401" in failed.value.problem and "settings/tokens" in failed.value.remedy


def test_the_token_is_not_sent_in_the_clear(cache: Path) -> None:
    log_in(cache)
    assert hub.token_for("http://hub.example.com") is False
    assert hub.token_for("https://hub.example.com") == TOKEN
    assert hub.token_for("http://127.0.0.1:8000") == TOKEN
    assert hub.token_for("http://localhost:8000") == TOKEN
    assert hub.token_for("http://localhost.example.com") is False


def test_a_model_that_the_hub_does_not_have_is_said(server: FakeHub) -> None:
    del server.repositories[MAIN]
    with pytest.raises(NotFound) as failed:
        fetch(server)
    assert MAIN in failed.value.problem and "404" in failed.value.problem


def test_a_part_that_the_hub_does_not_have_is_named(server: FakeHub) -> None:
    del server.repositories[MAIN][BIG]
    with pytest.raises(NotFound) as failed:
        fetch(server)
    assert BIG in failed.value.problem and "transformer" in failed.value.problem


def test_weights_as_pickles_are_refused_before_they_are_fetched(server: FakeHub) -> None:
    repository, inside = SPEC.address("vae")
    files = server.repositories[repository]
    for name in [name for name in files if name.startswith(inside) and name.endswith(".safetensors")]:
        del files[name]
    with pytest.raises(BadInput) as failed:
        fetch(server)
    assert "unused.bin" in failed.value.problem and "run code" in failed.value.problem
    assert not server.fetched(BIG)


@pytest.mark.parametrize("name", ["../../outside", "..", "/outside", "a\\b", "a" * 300])
@pytest.mark.parametrize("of", ["commit", "etag"])
def test_a_hub_whose_names_lead_out_of_the_cache_is_refused(
    server: FakeHub, cache: Path, name: str, of: str
) -> None:
    setattr(server, of, name)
    with pytest.raises(DownloadFailed) as failed:
        fetch(server)
    assert "does not answer as the hub does" in failed.value.problem
    outside = [path for path in cache.parents[1].rglob("*outside*") if cache not in path.parents]
    assert not outside and not list(cache.rglob("*outside*"))


def test_files_whose_path_leads_out_of_the_repository_are_left_out(server: FakeHub) -> None:
    files = server.repositories[MAIN]
    files |= {"..\\evil.json": b"{}", "transformer/../evil.json": b"{}", "transformer//x.json": b"{}"}
    listed = {file.path for file in hub.list_files(MAIN, server.address)}
    assert listed == {path for path in files if "evil" not in path and "//" not in path}


def test_no_connection_is_said_with_the_address(server: FakeHub) -> None:
    with pytest.raises(DownloadFailed) as failed:
        run_download(DownloadJob(model=SPEC.id, endpoint="http://127.0.0.1:9"), SilentReport())
    assert failed.value.problem == "There is no connection to 127.0.0.1:9."


def test_a_hub_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(hub, "TIMEOUT_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(DownloadFailed) as failed:
            run_download(DownloadJob(model=SPEC.id, endpoint=address), SilentReport())
    assert "does not answer" in failed.value.problem


@pytest.mark.parametrize("page", [b"<html>Please log in</html>", b"[]", b"{}", b'{"id": "x", "siblings": 3}'])
def test_the_login_page_of_a_network_is_told_apart(server: FakeHub, page: bytes) -> None:
    server.page = page
    with pytest.raises(DownloadFailed) as failed:
        fetch(server)
    assert "does not answer as the hub does" in failed.value.problem
    assert "log in" in failed.value.remedy


def test_offline_nothing_is_asked(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadFailed) as failed:
        fetch(server)
    assert "HF_HUB_OFFLINE" in failed.value.problem
    assert server.asked == []


def test_two_downloads_that_share_a_file_fetch_it_once(server: FakeHub) -> None:
    server.bytes_per_s = 2_000_000
    failures: list[BaseException] = []

    def run() -> None:
        try:
            fetch(server)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert len(server.fetched(BIG)) == 1
    assert find_files(SPEC).transformer.read_bytes() == noise("big", BIG_SIZE)


def test_without_links_the_file_lies_there_once(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    from huggingface_hub import file_download

    monkeypatch.setattr(file_download, "are_symlinks_supported", lambda *_: False)
    fetch(server)
    place = find_files(SPEC).transformer
    assert not place.is_symlink() and place.read_bytes() == noise("big", BIG_SIZE)
    whole = [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size == BIG_SIZE]
    assert whole == [place]
    assert plan_of(wanted_files(SPEC, server.address)).remaining_bytes == 0


def test_parts_on_this_computer_are_not_downloaded(server: FakeHub, tmp_path: Path) -> None:
    local = tmp_path / "my.safetensors"
    local.write_bytes(b"\2\0\0\0\0\0\0\0{}")
    files = (f"transformer=file:{local}", *(e for e in SPEC.files if not e.startswith("transformer=")))
    spec = replace(SPEC, files=files)
    assert BIG not in {file.path for file in wanted_files(spec, server.address)}
    assert "transformer" not in missing_parts(spec)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("", ""),
        (" https://hub.example.com/ ", "https://hub.example.com"),
        ("http://nas:8080/hf", "http://nas:8080/hf"),
    ],
)
def test_addresses_of_mirrors_are_tidied(typed: str, kept: str) -> None:
    assert hub.checked_endpoint(typed) == kept


@pytest.mark.parametrize(
    "typed",
    ["hub.example.com", "ftp://x", "https://", "https://me:secret@x", "https://a b", "http://[::1", "x?y"],
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(BadSetting) as failed:
        hub.checked_endpoint(typed)
    assert "secret" not in failed.value.problem
