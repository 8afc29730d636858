"""Who made an engine folder: takes a folder and trusted keys, gives the digests that are signed.

The format is that of OpenSSF Model Signing (`model_signing`), one detached signature in the folder:
`model.sig`, a Sigstore bundle whose DSSE envelope holds an in-toto statement that lists every file
with its sha256. To check it a device needs `cryptography` alone; what signs is the library itself.
"""

from __future__ import annotations

from typing import Final, final

SIGNATURE: Final = "model.sig"
"""In the engine folder; every other file there is signed, or the folder is refused."""


@final
class OwnBuild:
    """Stands for trust in a folder that this process has just written, and nobody could sign."""


OWN_BUILD: Final = OwnBuild()
