"""The vault: tokens, the crosswalk from registration to person, and identifiers."""
