"""Who may turn an `ask` into an `allow`: requests, votes, grants, and the gate that every action passes."""
