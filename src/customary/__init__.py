"""Customary: a self-hosted customer system of record for billing that speaks the Sequence Customers API."""

__version__ = "0.1.0"
