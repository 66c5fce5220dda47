"""Attacks on what leaves the restricted zones, written as an attacker would."""
