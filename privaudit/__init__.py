"""privaudit: attack and audit schemes that hide medical images from the server that processes them.

The names in ``__all__`` are the public API: what plugins build on, and what runs an audit. They are imported when they
are first used, so that importing the package is cheap and pulls in no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from privaudit._version import __version__
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.auditing.opening import Settings
    from privaudit.auditing.run import run_audit
    from privaudit.auditing.spec import AuditSpec, parse_spec
    from privaudit.contracts.arrays import ArrayDefense
    from privaudit.contracts.attack import Attack, Check, Facts, Illustration, Learned, Protocol, Task
    from privaudit.contracts.claims import Attributes, Claim, LabelMap, Reconstruction, Similarity
    from privaudit.contracts.cohort import Cohort, Dataset, ScanId, Volume
    from privaudit.contracts.defense import Defense, Encoded, Key
    from privaudit.contracts.knowledge import GalleryEntry, Knowledge, Rung
    from privaudit.contracts.options import PluginOptions
    from privaudit.contracts.recipe import Recipe
    from privaudit.contracts.report import Picture, Report, ReportInput
    from privaudit.contracts.scheme import Mixing, Scheme
    from privaudit.contracts.seeded import SeededDefense, SeedKey
    from privaudit.contracts.transcript import Transcript
    from privaudit.imaging.atlas import Atlas
    from privaudit.interactive import Audited, audit
    from privaudit.results.overall import Verdict
    from privaudit.results.record import Finding, Record
    from privaudit.scoring.kind import Asked, ClaimKind, Words
    from privaudit.scoring.paired import PairedKind

__all__ = [
    "ArrayDefense",
    "Asked",
    "Atlas",
    "Attack",
    "Attributes",
    "AuditSpec",
    "Audited",
    "Check",
    "Claim",
    "ClaimKind",
    "Cohort",
    "Dataset",
    "Defense",
    "Encoded",
    "Facts",
    "Finding",
    "GalleryEntry",
    "Illustration",
    "Key",
    "Knowledge",
    "LabelMap",
    "Learned",
    "Mixing",
    "PairedKind",
    "Picture",
    "PluginOptions",
    "PrivauditError",
    "Protocol",
    "Recipe",
    "Reconstruction",
    "Record",
    "Report",
    "ReportInput",
    "Rung",
    "ScanId",
    "Scheme",
    "SeedKey",
    "SeededDefense",
    "Settings",
    "Similarity",
    "Task",
    "Transcript",
    "Verdict",
    "Volume",
    "Words",
    "__version__",
    "audit",
    "parse_spec",
    "run_audit",
]

_HOME = {
    "Settings": "privaudit.auditing.opening",
    "run_audit": "privaudit.auditing.run",
    "AuditSpec": "privaudit.auditing.spec",
    "parse_spec": "privaudit.auditing.spec",
    "ArrayDefense": "privaudit.contracts.arrays",
    "Attack": "privaudit.contracts.attack",
    "Check": "privaudit.contracts.attack",
    "Facts": "privaudit.contracts.attack",
    "Illustration": "privaudit.contracts.attack",
    "Learned": "privaudit.contracts.attack",
    "Protocol": "privaudit.contracts.attack",
    "Task": "privaudit.contracts.attack",
    "Attributes": "privaudit.contracts.claims",
    "Claim": "privaudit.contracts.claims",
    "LabelMap": "privaudit.contracts.claims",
    "Reconstruction": "privaudit.contracts.claims",
    "Similarity": "privaudit.contracts.claims",
    "Cohort": "privaudit.contracts.cohort",
    "Dataset": "privaudit.contracts.cohort",
    "ScanId": "privaudit.contracts.cohort",
    "Volume": "privaudit.contracts.cohort",
    "Defense": "privaudit.contracts.defense",
    "Encoded": "privaudit.contracts.defense",
    "Key": "privaudit.contracts.defense",
    "GalleryEntry": "privaudit.contracts.knowledge",
    "Knowledge": "privaudit.contracts.knowledge",
    "Rung": "privaudit.contracts.knowledge",
    "PluginOptions": "privaudit.contracts.options",
    "Recipe": "privaudit.contracts.recipe",
    "Picture": "privaudit.contracts.report",
    "Report": "privaudit.contracts.report",
    "ReportInput": "privaudit.contracts.report",
    "Mixing": "privaudit.contracts.scheme",
    "Scheme": "privaudit.contracts.scheme",
    "SeedKey": "privaudit.contracts.seeded",
    "SeededDefense": "privaudit.contracts.seeded",
    "Transcript": "privaudit.contracts.transcript",
    "Atlas": "privaudit.imaging.atlas",
    "Finding": "privaudit.results.record",
    "Record": "privaudit.results.record",
    "Audited": "privaudit.interactive",
    "audit": "privaudit.interactive",
    "Verdict": "privaudit.results.overall",
    "Asked": "privaudit.scoring.kind",
    "ClaimKind": "privaudit.scoring.kind",
    "Words": "privaudit.scoring.kind",
    "PairedKind": "privaudit.scoring.paired",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'privaudit' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
