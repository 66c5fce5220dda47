"""Kinds of operational databases, each behind the interface of ``base``."""
