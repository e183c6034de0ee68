"""What a desk needs to sign the votes that it takes down, and to know whose the others are. Keys stand elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec

from ringfence.model.vote import Vote, signed_part

Check: TypeAlias = Callable[[Vote], str]
"""Why a vote that stands in the store is nobody's: not signed, or not by whom it names. Empty where it is theirs."""


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
