"""Training of trials on tensors: torch, numpy and `loss` alone, so that it runs on a bare GPU machine."""
