"""privaudit: attack and audit schemes that hide medical images from the server that processes them.

Importing the package is cheap: nothing here pulls in torch. The public names live in the submodules:
``privaudit.attack``, ``privaudit.defense``, ``privaudit.cohort``, ``privaudit.record``, ``privaudit.audit``.
"""

from privaudit._version import __version__
from privaudit.errors import PrivauditError

__all__ = ["PrivauditError", "__version__"]
