"""Getting a model from the hub: what is missing, fetching it, verifying it. No torch here.

huggingface_hub 2.4 throws a half-fetched file away when its process ends, cannot be stopped, and compares
sizes only. So the bytes are fetched here, into the library's own cache: a partial file stays beside the
blobs and is continued with a Range request; size and checksum are compared before it gets its place.
Addresses, token, redirects and the links in the cache are the library's. Plain HTTP, not its Xet protocol,
which keeps nothing that could be continued.
"""

from __future__ import annotations

import errno
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from filelock import FileLock, Timeout
from pydantic import JsonValue

from ltx_wizard.core.errors import DownloadFailed, NoSpace, WizardError, explain_os_error
from ltx_wizard.core.events import Progress
from ltx_wizard.core.report import Cancelled, Report
from ltx_wizard.core.run import DownloadJob
from ltx_wizard.core.units import bytes_text, duration_text
from ltx_wizard.models.captioner_models import find_downloadable
from ltx_wizard.models.download_plan import (
    SPARE_BYTES,
    DownloadPlan,
    blob_file,
    free_space,
    has_size,
    partial_file,
    plan_of,
    refuse_without_space,
    size_of,
    snapshot_file,
    storage,
    wanted_files,
)
from ltx_wizard.models.hub import (
    TIMEOUT_S,
    HubFile,
    explained,
    http_library,
    hub_address,
    is_offline,
    offline_error,
    refuse_as_names,
    token_for,
)
from ltx_wizard.models.weights import find_parts, hub_cache, missing_parts

if TYPE_CHECKING:
    from huggingface_hub.file_download import HfFileMetadata

Answer = TypeVar("Answer")

WAITS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Before each new try after a break; it counts from the start again once bytes came. Not measured."""

_TRIES_OF_A_WRONG_FILE = 2
_PATIENT_STATUSES = (408, 425, 429, 500, 502, 503, 504)
_TOLD_EVERY_S = 1.0
_ASKED_EVERY_S = 0.1
_RATE_OVER_S = 10.0
_READ_BYTES = 1024 * 1024


def run_download(job: DownloadJob, report: Report) -> dict[str, JsonValue]:
    """Fetch what is missing of a model, verify it, and put it into the hub's cache.

    What was fetched is kept when it stops or fails. Raises WizardError, or Cancelled.
    """
    spec = find_downloadable(job.model)
    if not missing_parts(spec):
        return {"model": spec.id, "place": str(hub_cache()), "bytes": 0, "fetched": 0}
    if is_offline():
        raise offline_error()
    report.emit(
        Progress(stage=f"Asking {hub_address(job.endpoint)} what {spec.title} consists of", done=0, total=0)
    )
    plan = plan_of(wanted_files(spec, job.endpoint))
    refuse_without_space(spec, plan)
    meter = _Meter(report, plan)
    with _disk_errors(plan, meter):
        for file in plan.files:
            _provide(file, job.endpoint, meter)
    find_parts(spec)
    return {"model": spec.id, "place": str(plan.place), "bytes": plan.total_bytes, "fetched": meter.fetched}


def _provide(file: HubFile, endpoint: str, meter: _Meter) -> None:
    """See that a file is in the cache, whole, and found under its name in the repository."""
    if has_size(snapshot_file(file, file.commit), file.size):
        return
    known = _patiently(lambda: _ask(file, endpoint), file, endpoint, meter)
    blob = known.etag or file.blob
    with _alone(file, blob, meter):
        if not has_size(blob_file(file.repository, blob), file.size):
            _fetch_verified(file, blob, endpoint, meter)
            _put_in_place(file, blob, known.commit_hash or file.commit)
    _patiently(lambda: _link(file, endpoint), file, endpoint, meter)
    meter.begin(file, file.size)


def _fetch_verified(file: HubFile, blob: str, endpoint: str, meter: _Meter) -> None:
    """A whole and correct partial file. A wrong one is deleted and fetched once more."""
    partial = partial_file(file.repository, blob)
    partial.parent.mkdir(parents=True, exist_ok=True)
    wrong = ""
    for _ in range(_TRIES_OF_A_WRONG_FILE):
        meter.begin(file, size_of(partial))
        _patiently(lambda: _receive(file, partial, endpoint, meter), file, endpoint, meter)
        wrong = _what_is_wrong(file, partial, meter)
        if not wrong:
            return
        partial.unlink(missing_ok=True)
    raise DownloadFailed(
        problem=f"{file.path} arrived wrong twice: {wrong}. It was deleted.",
        remedy="Try again later. If it stays so, set another mirror in Hub settings, or none.",
    )


def _ask(file: HubFile, endpoint: str) -> HfFileMetadata:
    """What the hub says of a file: under which name the cache keeps it, and of which commit it is."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    address = hf_hub_url(file.repository, file.path, endpoint=hub_address(endpoint))
    known = get_hf_file_metadata(
        address, token=token_for(endpoint), timeout=TIMEOUT_S, endpoint=hub_address(endpoint)
    )
    refuse_as_names(known.etag, known.commit_hash)
    return known


def _receive(file: HubFile, partial: Path, endpoint: str, meter: _Meter) -> None:
    """Go on with a partial file until the hub's answer ends. What came is on disk whatever happens."""
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    have = size_of(partial)
    if have >= file.size > 0:
        return
    headers = build_hf_headers(token=token_for(endpoint))
    headers["Accept-Encoding"] = "identity"  # bytes as they are stored, so that a Range fits
    if have:
        headers["Range"] = f"bytes={have}-"
    address = hf_hub_url(file.repository, file.path, endpoint=hub_address(endpoint))
    with get_session().stream("GET", address, headers=headers, timeout=TIMEOUT_S) as answer:
        if answer.status_code == 416:  # what the hub has is shorter than what it announced
            partial.unlink()
            return
        hf_raise_for_status(answer)
        continues = answer.status_code == 206
        meter.begin(file, have if continues else 0)
        with _open_partial(partial, continues) as target:
            for chunk in answer.iter_bytes():
                target.write(chunk)
                meter.received(len(chunk))
                if meter.of_file > file.size:
                    return  # wrong, and nobody knows how much more would come


def _open_partial(partial: Path, continues: bool) -> BinaryIO:
    return partial.open("ab" if continues else "wb")


def _what_is_wrong(file: HubFile, partial: Path, meter: _Meter) -> str:
    """Size, then checksum: sha256 where the hub gives one, else git's own. Empty: all is well."""
    size = size_of(partial)
    if size != file.size:
        return f"it has {size:,} bytes instead of {file.size:,}"
    digest = (
        hashlib.sha256() if file.sha256 else hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    )
    with partial.open("rb") as opened:
        while chunk := opened.read(_READ_BYTES):
            digest.update(chunk)
            meter.checked(len(chunk))
    return (
        ""
        if digest.hexdigest() == file.blob or not file.blob
        else "its checksum is not the one that the hub gives"
    )


def _patiently(act: Callable[[], Answer], file: HubFile, endpoint: str, meter: _Meter) -> Answer:
    """Do it; where the connection breaks, wait and do it again. Raises WizardError once that is hopeless."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    http, tries = http_library(), 0
    with explained(file.repository, endpoint):
        while True:
            before = meter.fetched
            try:
                return act()
            except (HfHubHTTPError, LocalEntryNotFoundError, http.HTTPError) as error:
                tries = 0 if meter.fetched > before else tries
                if tries == len(WAITS_S) or not _may_pass(error):
                    raise
            meter.wait(WAITS_S[tries])
            tries += 1


def _may_pass(error: Exception) -> bool:
    """Whether the same request may work a little later."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _PATIENT_STATUSES
    http = http_library()
    lost = (http.TimeoutException, http.NetworkError, http.RemoteProtocolError)
    return isinstance(error, lost) or isinstance(error.__cause__, lost)


def _put_in_place(file: HubFile, blob: str, commit: str) -> None:
    """Under its name in the cache; where links are not allowed, as on many Windows systems, in the snapshot
    itself, so that it does not lie there twice.
    """
    from huggingface_hub.file_download import are_symlinks_supported

    linkable = are_symlinks_supported(hub_cache())
    target = blob_file(file.repository, blob) if linkable else snapshot_file(file, commit)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial_file(file.repository, blob).replace(target)


def _link(file: HubFile, endpoint: str) -> None:
    """The library finds the blob, links it to its name, and notes the commit as that of 'main'."""
    from huggingface_hub import hf_hub_download

    hf_hub_download(
        file.repository,
        file.path,
        cache_dir=str(hub_cache()),
        endpoint=hub_address(endpoint),
        token=token_for(endpoint),
        etag_timeout=TIMEOUT_S,
    )


@contextmanager
def _alone(file: HubFile, blob: str, meter: _Meter) -> Iterator[None]:
    """Two downloads that share a file, such as the text encoder: one fetches it, the other waits."""
    place = hub_cache() / ".locks" / storage(file.repository).name / f"{blob}.lock"
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place)
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except Timeout:
            meter.tell("Waiting for another download of the same file")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _disk_errors(plan: DownloadPlan, meter: _Meter) -> Iterator[None]:
    """What the disk refuses becomes words that say what to do; what came so far stays there."""
    try:
        yield
    except OSError as error:
        raise _explain_disk(error, plan, meter) from error


def _explain_disk(error: OSError, plan: DownloadPlan, meter: _Meter) -> WizardError:
    left = plan.total_bytes - meter.done
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        short = max(left + SPARE_BYTES - free_space(plan.place), 0) or left
        return NoSpace(
            problem=f"The disk of {plan.place} is full; {bytes_text(left)} are still to come.",
            remedy=f"Free {bytes_text(short)} there, then press Download again: it goes on where it stopped.",
        )
    if error.errno == errno.EFBIG:
        return NoSpace(
            problem=f"The disk of {plan.place} takes no file as large as this model.",
            remedy="Set HF_HOME to a folder on a disk with NTFS, APFS or ext4, and start LTX Wizard again.",
        )
    return explain_os_error(error, Path(str(error.filename or plan.place)))


class _Meter:
    """Counts bytes, tells them about once a second, and notices that the user wants to stop."""

    def __init__(self, report: Report, plan: DownloadPlan) -> None:
        self.fetched = 0
        self.of_file = 0
        self._report = report
        self._total = plan.total_bytes
        self._have = {_key(file): file.size for file in plan.files}
        self._have |= {
            _key(file): min(file.size, size_of(partial_file(file.repository, file.blob)))
            for file in plan.missing
        }
        self._file: HubFile | None = None
        self._recent: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._told_at = 0.0
        self._asked_at = 0.0

    @property
    def done(self) -> int:
        """Bytes of the model that are here."""
        return sum(self._have.values())

    def begin(self, file: HubFile, have: int = 0) -> None:
        """A file is at this many bytes."""
        self._file = file
        self.of_file = have
        self._have[_key(file)] = min(have, file.size)
        self._tell("Downloading", self._per_second())

    def received(self, count: int) -> None:
        assert self._file is not None
        self.fetched += count
        self.of_file += count
        self._have[_key(self._file)] = min(self.of_file, self._file.size)
        self._tell("Downloading", self._per_second())

    def checked(self, count: int) -> None:
        del count
        self._recent.clear()  # no bytes come meanwhile, which says nothing about the connection
        self._tell("Checking", 0.0)

    def tell(self, stage: str) -> None:
        self._tell(stage, 0.0, now=True)

    def wait(self, seconds: float) -> None:
        """Sit out a break of the connection. Raises Cancelled if the user asked to stop."""
        self._recent.clear()
        self.tell(f"The connection broke. Trying again in {duration_text(seconds)}")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(_ASKED_EVERY_S, seconds))
            self._stop_if_asked()

    def _per_second(self) -> float:
        now = time.monotonic()
        self._recent.append((now, self.fetched))
        while now - self._recent[0][0] > _RATE_OVER_S:
            self._recent.popleft()
        began, bytes_then = self._recent[0]
        return (self.fetched - bytes_then) / (now - began) if now - began > 0.5 else 0.0

    def _tell(self, stage: str, per_second: float, now: bool = False) -> None:
        self._stop_if_asked()
        if not now and time.monotonic() - self._told_at < _TOLD_EVERY_S:
            return
        self._told_at = time.monotonic()
        name = self._file.path if self._file else ""
        self._report.emit(
            Progress(
                stage=stage,
                done=self.done,
                total=self._total,
                message=name,
                unit="bytes",
                per_second=per_second,
            )
        )

    def _stop_if_asked(self) -> None:
        if time.monotonic() - self._asked_at < _ASKED_EVERY_S:
            return
        self._asked_at = time.monotonic()
        if self._report.stop_requested():
            raise Cancelled


def _key(file: HubFile) -> tuple[str, str]:
    return file.repository, file.path
