"""Helpers behind the notebooks of the adversarial machine learning course."""

__version__ = "0.1.0"
