"""Tests written as an attacker would: what is promised to be hidden is looked for."""
