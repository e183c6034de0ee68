"""Does nothing: the attack is in what an earlier session left."""

from prelude import ended

ended("done")
