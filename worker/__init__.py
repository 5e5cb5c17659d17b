"""Workers: claim trials, train them, record what was seen, tell the result."""
