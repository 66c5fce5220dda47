"""Errors that end a command with one sentence for its user.

Every message says what is wrong, where, and what to do. No message carries a patient's value.
"""

from __future__ import annotations


class ScutariError(Exception):
    """The base of every error a user of the command line may meet."""


class SettingsError(ScutariError):
    """The installation's settings file is missing, unreadable or contradictory."""


class ZoneError(ScutariError):
    """A zone can be opened by an account that has no business there."""


class BrokerError(ScutariError):
    """The honest broker does not answer, or does not take what it was given."""


class ContractError(ScutariError):
    """A dbt source file does not say all that extraction must know."""


class SourceError(ScutariError):
    """An operational database is out of reach or is not what the contract declares."""


class KeyFileError(ScutariError):
    """A key file is missing, readable by others, or not the key that was used before."""


class SnapshotError(ScutariError):
    """A snapshot could not be written, or is not what its manifest says."""


class VaultError(SnapshotError):
    """A file of the vault is not the one that was written there.

    Attributes:
        fault: in what it differs, without its path.
    """

    def __init__(self, sentence: str, *, fault: str = "it cannot be read") -> None:
        super().__init__(sentence)
        self.fault = fault


class MatchError(ScutariError):
    """A decision who is one person cannot be taken: it contradicts others or names nobody."""


class ReconciliationError(SnapshotError):
    """What arrived in the lake does not add up to what the source holds."""


class BuildError(ScutariError):
    """The dbt build did not end green."""


class PublicationError(ScutariError):
    """A publication or release was refused; the previous one stays."""


class AuditError(ScutariError):
    """The audit log cannot be written, is not as it was written, or was given what it refuses."""


class PrivacyError(ScutariError):
    """A privacy class reaches a zone that may not hold it, or nobody can say whether it does."""


class ErasureError(ScutariError):
    """A person cannot be erased as asked, or an erasure is not applied to what is there."""


class ChartAuditError(ScutariError):
    """A chart review cannot be saved as asked, or its store cannot be opened."""


class ReportError(ScutariError):
    """A hospital's report cannot be written as asked, or of what is published."""
