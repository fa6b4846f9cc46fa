"""Serving the videos, pictures and LoRA files of the projects that this app knows, and nothing else."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from ltx_wizard.app import checking, datasets
from ltx_wizard.app.settings import recent_projects
from ltx_wizard.core import places
from ltx_wizard.core.clip import Clip, Scene, Source
from ltx_wizard.core.documents import is_file
from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.project import PROJECT_FILE, Project

_SHOWN = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".jpg", ".jpeg", ".png", ".webp"}
)
_DOWNLOADED = frozenset({".safetensors", ".csv"})
_ASSETS = {"css": ".css", "js": ".js", "icon": ".svg"}
_PLAYS_IN_BROWSERS = frozenset({".mp4", ".m4v", ".webm", ".mov"})
_KEEP = {"Cache-Control": "private, max-age=31536000, immutable"}
_HARMLESS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}

_opened: dict[str, Path] = {}


def token_of(project: Project) -> str:
    """The name of a project in addresses: says nothing about where it lies. Registers it as open."""
    token = _token(project.folder)
    _opened[token] = project.folder
    return token


def file_url(project: Project, relative: str, version: str | int = "") -> str:
    """The address of a file of the project; a new version is a new address, so browsers may keep it."""
    return f"/wizard/media/{token_of(project)}/{quote(relative)}" + (f"?v={version}" if version else "")


def download_url(project: Project, relative: str) -> str:
    return f"/wizard/media/{token_of(project)}/{quote(relative)}?download=1"


def source_picture(project: Project, source: Source) -> str:
    return f"/wizard/picture/{token_of(project)}/source/{quote(source.id)}"


def scene_picture(project: Project, source_id: str, scene: Scene) -> str:
    span = f"{scene.start_frame}-{scene.end_frame}"
    return f"/wizard/picture/{token_of(project)}/scene/{quote(source_id)}?span={span}"


def clip_picture(project: Project, clip: Clip) -> str:
    version = f"?v={'-'.join(map(str, clip.crop))}" if clip.crop else ""
    return f"/wizard/picture/{token_of(project)}/clip/{quote(clip.id)}{version}"


def copy_picture(project: Project, clip: Clip, name: str, key: str) -> str:
    """A clip as one of its copies shows it; another change has another address."""
    version = hashlib.sha256(key.encode()).hexdigest()[:8]
    return f"/wizard/copy/{token_of(project)}/{quote(clip.id)}/{quote(name)}?v={version}"


def plays_in_browsers(relative: str) -> bool:
    return Path(relative).suffix.lower() in _PLAYS_IN_BROWSERS


def media_routes() -> list[Route]:
    """GET only. Files answer range requests, so that players can seek."""
    return [
        Route("/wizard/media/{token}/{relative:path}", _serve_file),
        Route("/wizard/picture/{token}/{kind}/{id}", _serve_picture),
        Route("/wizard/copy/{token}/{id}/{name}", _serve_copy),
        Route("/wizard/assets/{kind}/{name}", _serve_asset),
    ]


async def _serve_file(request: Request) -> Response:
    project = _known_project(request.path_params["token"])
    path = _safe_path(project, request.path_params["relative"]) if project else None
    if path is None:
        return Response(status_code=404)
    suffix = path.suffix.lower()
    if suffix in _DOWNLOADED or (suffix in _SHOWN and "download" in request.query_params):
        return FileResponse(path, filename=path.name, headers=_HARMLESS)
    if suffix not in _SHOWN:
        return Response(status_code=404)
    kept = _KEEP if "v" in request.query_params else {"Cache-Control": "private, no-cache"}
    media_type = "video/mp4" if suffix in (".mov", ".m4v") else mimetypes.guess_type(path.name)[0]
    return FileResponse(path, media_type=media_type, headers={**kept, **_HARMLESS})


async def _serve_picture(request: Request) -> Response:
    project = _known_project(request.path_params["token"])
    if project is None:
        return Response(status_code=404)
    find = {"source": _source_picture, "clip": _clip_picture, "scene": _scene_picture}.get(
        request.path_params["kind"]
    )
    try:
        args = (project, request.path_params["id"], request.query_params.get("span", ""))
        path = await run_in_threadpool(find, *args) if find else None
    except WizardError:
        path = None
    if path is None:
        return Response(status_code=404)
    return FileResponse(path, headers={**_KEEP, **_HARMLESS})


async def _serve_copy(request: Request) -> Response:
    project = _known_project(request.path_params["token"])
    if project is None:
        return Response(status_code=404)
    args = (project, request.path_params["id"], request.path_params["name"])
    try:
        picture = await run_in_threadpool(checking.copy_picture, *args)
    except WizardError:
        picture = None
    if picture is None:
        return Response(status_code=404)
    return Response(picture, media_type="image/jpeg", headers={**_KEEP, **_HARMLESS})


async def _serve_asset(request: Request) -> Response:
    kind, name = request.path_params["kind"], request.path_params["name"]
    path = places.ASSETS / kind / name
    if not name.endswith(_ASSETS.get(kind, "/")) or "/" in name or "\\" in name or not _is_there(path):
        return Response(status_code=404)
    return FileResponse(path, headers={"Cache-Control": "no-cache"})


def _source_picture(project: Project, source_id: str, _span: str) -> Path | None:
    found = next((source for source in datasets.sources(project) if source.id == source_id), None)
    return datasets.source_thumbnail(project, found) if found else None


def _clip_picture(project: Project, clip_id: str, _span: str) -> Path | None:
    found = checking.find_clip(project, clip_id)
    return datasets.clip_thumbnail(project, found) if found else None


def _scene_picture(project: Project, source_id: str, span: str) -> Path | None:
    scenes = datasets.scenes(project).get(source_id)
    if scenes is None:
        return None
    for scene in scenes.scenes:
        if f"{scene.start_frame}-{scene.end_frame}" == span:
            return datasets.scene_thumbnail(project, source_id, scene)
    return None


def _known_project(token: str) -> Project | None:
    """A project that was opened here, or stands in the recent list: also after a restart of the app."""
    folder = _opened.get(token) or next((path for path in recent_projects() if _token(path) == token), None)
    return Project(folder) if folder and _is_there(folder / PROJECT_FILE) else None


def _safe_path(project: Project, relative: str) -> Path | None:
    try:
        path = project.path(relative)
        return path if is_file(path) else None
    except WizardError:
        return None


def _is_there(path: Path) -> bool:
    try:
        return is_file(path)
    except WizardError:
        return False


def _token(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode("utf-8", "surrogatepass")).hexdigest()[:20]
