"""The page of `ringfence ui`: open requests and their answers, for one user, on the loopback of their machine."""
