"""What a desk needs to sign the votes that it takes down. The key itself is none of its business."""

from __future__ import annotations

from typing import Protocol

import msgspec

from ringfence.model.vote import Vote, signed_part


class Signer(Protocol):
    """Signs for the account of one user."""

    @property
    def key(self) -> str:
        """The verifier key, as text."""
        ...

    def sign(self, body: bytes) -> str:
        """The signature, in base64."""
        ...


def signed(vote: Vote, signer: Signer | None) -> Vote:
    """The vote with its key and signature; as it is where nobody signs."""
    if signer is None:
        return vote
    keyed = msgspec.structs.replace(vote, key=signer.key, signature="")
    return msgspec.structs.replace(keyed, signature=signer.sign(signed_part(keyed)))
