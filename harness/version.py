"""The version of the harness, which reports, bundles and runs carry."""

__version__ = "0.1.0"
