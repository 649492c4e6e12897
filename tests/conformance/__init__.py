"""Conformance: every published operation, its example and its refusals, on the running application."""
