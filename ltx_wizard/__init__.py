"""LTX Wizard: from a few videos to a finished LoRA for the LTX video models."""

__version__ = "0.1.0"
