"""A small service: is it healthy, and what does the model say?"""

import ctypes
import os

import torch
from fastapi import FastAPI
from pydantic import BaseModel, conlist

from model import FEATURES, load

app = FastAPI(title="backend")
model = load()


class Samples(BaseModel):
    samples: conlist(conlist(float, min_items=FEATURES, max_items=FEATURES), min_items=1,
                     max_items=1000)


def cuda_runtime_loads():
    try:
        ctypes.CDLL("libcudart.so.11.0")
    except OSError:
        return False
    return True


@app.get("/health")
def health():
    return {
        "status": "ok",
        "version": os.environ.get("APP_VERSION", "unknown"),
        "torch": torch.__version__,
        "cuda_runtime": cuda_runtime_loads(),
        "gpus": torch.cuda.device_count(),
    }


@app.post("/predict")
def predict(body: Samples):
    with torch.no_grad():
        probabilities = torch.softmax(model(torch.tensor(body.samples)), dim=1)
    classes = probabilities.argmax(dim=1)
    return {"classes": classes.tolist(), "probabilities": probabilities.tolist()}
