"""What a model on the hub is, from its configurations: kilobytes instead of the model. No torch here."""

from __future__ import annotations

from pathlib import Path

from ltx_wizard.core.errors import BadInput
from ltx_wizard.models.headers import read_config
from ltx_wizard.models.hub import explained, hub_address, list_files, token_for
from ltx_wizard.models.recognise import Recognised, recognise_configs

_TRANSFORMER, _VAE = "transformer/config.json", "vae/config.json"


def recognise_cached(repository: str) -> Recognised | None:
    """What a repository in diffusers layout is, from its configurations in the hub's cache; None where they
    are not there. Asks no server.
    """
    transformer, vae = _cached(repository, _TRANSFORMER), _cached(repository, _VAE)
    if transformer is None:
        return None
    return recognise_configs(repository, read_config(transformer), read_config(vae) if vae else {})


def look_up(repository: str, endpoint: str = "") -> Recognised:
    """As recognise_cached, and fetches the configurations where they are missing.

    endpoint: the mirror in use. Raises BadInput for a repository in another layout or with another model,
    WizardError where the hub does not answer or does not let in.
    """
    return recognise_cached(repository) or _fetched(repository, endpoint)


def _fetched(repository: str, endpoint: str) -> Recognised:
    from huggingface_hub import hf_hub_download

    names = {file.path for file in list_files(repository, endpoint)}
    if _TRANSFORMER not in names:
        raise BadInput(
            problem=f"{repository} holds no model in diffusers layout.",
            remedy="Download the .safetensors file that you want, and give its path here.",
        )
    with explained(repository, endpoint):
        transformer, vae = (
            Path(hf_hub_download(repository, name, endpoint=hub_address(endpoint), token=token_for(endpoint)))
            if name in names
            else None
            for name in (_TRANSFORMER, _VAE)
        )
    assert transformer is not None
    return recognise_configs(repository, read_config(transformer), read_config(vae) if vae else {})


def _cached(repository: str, name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, name)
    return Path(found) if isinstance(found, str) else None
