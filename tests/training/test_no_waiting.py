"""Between log steps the host never waits for the device.

Steps are done on the meta device, which has shapes and no numbers: whoever asks it for a number, or for a
shape that follows from numbers, gets an error. What is copied from host to device in a step is refused, too:
a GPU would be waited for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from trainwright.data.batch_plan import BatchPlan, plan_batches
from trainwright.data.encoded import TOTAL, Array, Batch
from trainwright.features.stems.audio import AudioStem
from trainwright.features.stems.image import ImageStem
from trainwright.models.defaults import GroupSpec
from trainwright.models.multimodal import MultimodalModel
from trainwright.recipe.recipe import EncoderSettings, ModelSettings
from trainwright.tasks.base import TASKS
from trainwright.tasks.objective import Objective
from trainwright.training.loop import LoopSettings, Position, Trainer
from trainwright.training.optimizers import OPTIMIZERS, ParameterGroup
from trainwright.workshop.assemble import parameter_groups

META = torch.device("meta")

SPECS: dict[str, dict[str, Any]] = {
    "table": {
        "dense": 4,
        "index": [4, 40, 5],
        "bins": [[-1.0, 0.0, 0.5, 2.0], None, [-2.0, 2.0], None],
        "periodic": [False, False, False, True],
    },
    "text": {"vocabulary": 60, "pad": 0, "max_tokens": 32},
    "image": {"channels": 3, "height": 20, "width": 18, "mean": [0.5] * 3, "std": [0.25] * 3, "augment": {}},
    "audio": {"sample_rate": 8000, "mels": 16},
    "sequence": {"width": 3, "max_length": 32},
}
PHOTO = {
    "flip": "both",
    "shift": 0.1,
    "rotate": 0,
    "scale": 0,
    "colour": 0.1,
    "cutout": 0.2,
    "background": None,
}
GREY = PHOTO | {"rotate": 10.0, "scale": 0.1, "shift": 0.1}
SOUND = {
    "sample_rate": 8000,
    "mels": 16,
    "window": 200,
    "hop": 80,
    "mean": [0.0] * 16,
    "std": [1.0] * 16,
    "by_recording": True,
    "augment": {"shift": 0.1, "gain": 6.0, "noise": 0.1, "speed": 0.0, "mask_time": 0.1, "mask_mels": 0.1},
}


class NoWaiting(TorchDispatchMode):
    """Refuses copies between host and device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._overloadpacket.__name__
        if name in {"copy_", "_to_copy"}:
            tensors = [arg for arg in args if isinstance(arg, Tensor)]
            devices = {tensor.device.type for tensor in tensors}
            if name == "_to_copy" and (kwargs or {}).get("device") is not None:
                devices.add(torch.device(kwargs["device"]).type)
            assert len(devices) == 1, f"{name} from {devices}: {[tuple(tensor.shape) for tensor in tensors]}"
        return func(*args, **(kwargs or {}))


class NoNumbersSent(TorchFunctionMode):
    """Refuses tensors made on the device from numbers of the host, which no dispatch mode sees."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in {torch.tensor, torch.as_tensor, torch.Tensor.new_tensor}:
            assert made.device != META, f"{func.__name__}{args[-1:]}"
        return made


def inputs_of(modality: str, rows: int) -> dict[str, Tensor]:
    """Return the batch fields of an input called as its kind, on the host."""
    spec = SPECS[modality]
    lengths = torch.arange(2, rows + 2)
    if modality == "table":
        return {"dense": torch.randn(rows, spec["dense"]), "index": torch.zeros(rows, 3, dtype=torch.int64)}
    if modality == "image":
        pixels = torch.zeros(rows, 3, spec["height"], spec["width"], dtype=torch.uint8)
        return {"pixels": pixels, "present": torch.ones(rows, dtype=torch.bool)}
    values = {
        "text": ("tokens", torch.ones(rows, rows + 2, dtype=torch.int64)),
        "audio": ("samples", torch.zeros(rows, 900 * (rows + 2), dtype=torch.int16)),
        "sequence": ("values", torch.randn(rows, rows + 2, 3)),
    }
    name, tensor = values[modality]
    lengths = lengths * 900 if modality == "audio" else lengths
    return {name: tensor, f"{name}.lengths": lengths, f"{name}{TOTAL}": lengths.sum()}


TARGETS: dict[str, tuple[str, dict[str, Any], Tensor]] = {
    "stars": ("multiclass", {"classes": ["a", "b", "c"], "counts": [1, 2, 3]}, torch.tensor([0, 1, 2, -1])),
    "good": ("binary", {"classes": ["no", "yes"], "counts": [3, 3]}, torch.tensor([0, 1, 1, 0])),
    "grade": ("ordinal", {"classes": ["x", "y", "z"], "counts": [1, 2, 3]}, torch.tensor([0, 1, 2, 0])),
    "tags": ("multilabel", {"classes": ["p", "q"], "counts": [1, 2], "rows": 4}, torch.ones(4, 2)),
    "price": ("regression", {"mean": 1.0, "std": 2.0}, torch.randn(4)),
}


class Rows:
    """The same four rows, on the device."""

    unit = "rows"

    def __init__(self, modalities: tuple[str, ...]) -> None:
        fields = {m: inputs_of(m, 4) for m in modalities}
        inputs = {f"{m}.{name}": tensor for m, named in fields.items() for name, tensor in named.items()}
        targets = {name: target for name, (_, _, target) in TARGETS.items()}
        self.made = Batch(inputs, targets, np.arange(4)).to(META)

    def plan(self, epoch: int) -> BatchPlan:
        return plan_batches(4, batch=4, epoch=epoch)

    def batch(self, rows: Array) -> Batch:
        return self.made

    def size(self, rows: Array) -> int:
        return len(rows)


def trainer(
    encoders: dict[str, str], *, policy: dict[str, Any] = PHOTO, mix: float = 0.0, **settings: Any
) -> Trainer:
    torch.manual_seed(0)
    stems: dict[str, nn.Module | None] = {
        "image": ImageStem([0.5] * 3, [0.25] * 3, policy),
        "audio": AudioStem(SOUND),
    }
    tasks = {name: TASKS[kind](name, spec) for name, (kind, spec, _) in TARGETS.items()}
    model = MultimodalModel.build(
        {name: GroupSpec(name, name, SPECS[name]) for name in encoders},
        {name: task.outputs for name, task in tasks.items()},
        ModelSettings(size="tiny", encoders={m: EncoderSettings(name=name) for m, name in encoders.items()}),
        stems,
    ).to(META)
    return Trainer(
        model,
        parameter_groups(model, 0.01),
        Objective(tasks, smoothing=0.1, mixup=mix, cutmix=mix),
        Rows(tuple(encoders)),
        lambda _: pytest.fail("nothing is judged here"),
        LoopSettings(steps=9, evaluate_every=9, **settings),
        lambda *_, **__: None,
    )


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device has no half precision of its own."""
    monkeypatch.setattr(Trainer, "autocast", lambda self: nullcontext())


@pytest.fixture(autouse=True)
def lacking_on_meta() -> Iterator[None]:
    """What torch has no shape function for: its fused SGD, which returns nothing, and Dirichlet draws."""
    library = torch.library.Library("aten", "IMPL", "Meta")
    library.impl("_fused_sgd_", lambda *_, **__: None)
    library.impl("_fused_sgd_.tensor_lr", lambda *_, **__: None)
    library.impl("_sample_dirichlet", lambda alpha, generator=None: torch.empty_like(alpha))
    yield
    library._destroy()


def two_steps(of: Trainer) -> None:
    of._begin()
    of.model.train()
    for step in range(2):
        of._step([np.arange(4)], Position(step=step))
    with NoWaiting(), NoNumbersSent():
        of._step([np.arange(4), np.arange(4)], Position(step=2))


CASES = [
    *({"table": name} for name in ("tabm", "mlp", "ft_transformer")),
    *({"text": name} for name in ("bag", "cnn", "transformer", "tcn", "gru")),
    *({"image": name} for name in ("resnet", "vit", "cnn", "mlp")),
    *({"audio": name} for name in ("resnet", "transformer")),
    {"sequence": "tcn"},
    {"table": "tabm", "text": "cnn", "image": "resnet", "audio": "resnet", "sequence": "lstm"},
]


@pytest.mark.parametrize("encoders", CASES, ids=lambda case: "-".join(case.values()))
def test_a_step_is_not_waited_for(encoders: dict[str, str]) -> None:
    two_steps(trainer(encoders))


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_no_optimizer_is_waited_for(optimizer: str) -> None:
    two_steps(trainer({"table": "mlp"}, optimizer=optimizer, ema=0.9, l1=0.1, momentum=0.9))


@pytest.mark.parametrize("policy", [PHOTO, GREY])
def test_changes_of_pictures_are_not_waited_for(policy: dict[str, Any]) -> None:
    two_steps(trainer({"image": "mlp"}, policy=policy))


def test_mixing_pictures_is_not_waited_for() -> None:
    two_steps(trainer({"image": "mlp"}, mix=0.4))


@pytest.mark.parametrize("skipped", [True, False])
def test_what_a_rule_cannot_skip_is_undone(skipped: bool) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(3, 4))
    group = ParameterGroup({"w": weight}, 0.1)
    rule = OPTIMIZERS["rmsprop"]([group])
    for gradient in (torch.ones(3, 4), torch.full((3, 4), torch.nan if skipped else 2.0)):
        before = [tensor.clone() for tensor in (weight.detach(), *rule.tensors().values())]
        weight.grad = gradient
        skip = torch.tensor(float(gradient.isnan().any()))
        with torch.no_grad():  # as a step does where the flag lies on a GPU
            rule.apply({"w": weight}, group, 0.01, skip, slots=rule.slots)
    after = [weight.detach(), *rule.tensors().values()]
    assert all(tensor.isfinite().all() for tensor in after)
    assert all(map(torch.equal, before, after)) == skipped
