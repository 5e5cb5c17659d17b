"""Training on a machine that has torch, numpy and nothing else of ours."""

import subprocess
import sys
from pathlib import Path

import worker

PROGRAM = """
import sys

ABSENT = "pydantic sqlalchemy optuna mlflow fastapi torchvision pandas sklearn sweep service".split()
sys.modules.update(dict.fromkeys(ABSENT))

import importlib, pkgutil
import numpy as np, torch
import worker.training
for module in pkgutil.iter_modules(worker.training.__path__, "worker.training."):
    importlib.import_module(module.name)

from worker.training.data import DeviceData
from worker.training.trainer import Training
from worker.training.trial import Member, TrialSpec

x, y = np.eye(4, dtype=np.float32).repeat(8, axis=0), np.arange(4).repeat(8)
arrays = dict(train_inputs=x, train_labels=y, test_inputs=x, test_labels=y)
data = DeviceData(**arrays, classes=4, device=torch.device("cpu"))
how = dict(epochs=30, batch_size=8, optimizer="adamw", lr=0.01)
spec = TrialSpec(loss="adaptive", loss_params={"alpha": 0.1}, model="mlp", model_params={}, **how)
training = Training([Member(spec, 1, np.arange(32), np.arange(32))], data)
while training.live:
    (record,) = training.run_epoch()
print(int(record.validation.confusion_CC.trace()))
"""


def test_training_needs_torch_numpy_and_the_loss_alone() -> None:
    root = Path(worker.__file__).parents[1]
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "32"), done.stderr
