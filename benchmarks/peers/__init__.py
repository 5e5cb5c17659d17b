"""What one writes who sweeps alpha without Evenhand: PyTorch as its documentation has it, with Optuna or Ray Tune."""
