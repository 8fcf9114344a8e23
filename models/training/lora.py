"""The backbone in torch with LoRA on every linear of its layers, the training loop, the way back to an `Adapter`."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.errors import ModelError
from ..adapters import LINEARS, Adapter
from ..backbone import HEADS, HIDDEN, LAYERS, Backbone, find


class _Linear(nn.Module):
    """A frozen linear layer plus a trained low-rank change: x W' + b + (x A) B."""

    def __init__(self, weight: Tensor, bias: Tensor, rank: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.dropout = nn.Dropout(dropout)
        out, inside = weight.shape
        self.A = nn.Parameter(torch.randn(inside, rank) * inside**-0.5)
        self.B = nn.Parameter(torch.zeros(rank, out))

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight, self.bias)  # type: ignore[arg-type]
        return y + 2.0 * (self.dropout(x) @ self.A) @ self.B


class LoraBackbone(nn.Module):
    """all-MiniLM-L6-v2 with LoRA of one rank. Embeddings and norms stay frozen."""

    def __init__(
        self, rank: int = 16, dropout: float = 0.05, backbone: Backbone | None = None, start: Adapter | None = None
    ) -> None:
        super().__init__()
        from safetensors.torch import load_file

        w = load_file((backbone or find()).weights)
        for name in ("word", "position", "token_type"):
            self.register_buffer(name, w[f"embeddings.{name}_embeddings.weight"], persistent=False)
        self.linears = nn.ModuleDict()
        for i in range(LAYERS):
            for name in LINEARS:
                prefix = f"encoder.layer.{i}.{name}"
                layer = _Linear(w[f"{prefix}.weight"], w[f"{prefix}.bias"], rank, dropout)
                if start is not None:
                    layer.A.data = torch.tensor(start.lora[f"{i}.{name}.A"])
                    layer.B.data = torch.tensor(start.lora[f"{i}.{name}.B"]) / 2.0
                self.linears[_key(i, name)] = layer
        self.norms = {
            k[: -len(".weight")]: (v, w[k[: -len("weight")] + "bias"])
            for k, v in w.items()
            if k.endswith("LayerNorm.weight")
        }

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        """Hidden states (batch, tokens, 384) of ids, mask, types, each (batch, tokens)."""
        return self.at_depths(ids, mask, types, (LAYERS,))[0]

    def at_depths(self, ids: Tensor, mask: Tensor, types: Tensor, depths: Sequence[int]) -> list[Tensor]:
        """Hidden states (batch, tokens, 384) after as many layers as each of `depths` says, which ascend."""
        x = F.embedding(ids, self.word) + F.embedding(types, self.token_type) + self.position[: ids.shape[1]]  # type: ignore[arg-type,index]
        x = self._norm(x, "embeddings.LayerNorm")
        bias = torch.zeros(mask.shape, dtype=x.dtype).masked_fill(mask == 0, -1e9)[:, None, None, :]
        found = []
        for i in range(depths[-1]):
            x = self._layer(i, x, bias)
            if i + 1 in depths:
                found.append(x)
        return found

    def _layer(self, i: int, x: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (self._split(self.linears[_key(i, f"attention.self.{n}")](x)) for n in ("query", "key", "value"))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        joined = mixed.transpose(1, 2).reshape(x.shape)
        y = self._norm(
            self.linears[_key(i, "attention.output.dense")](joined) + x, f"encoder.layer.{i}.attention.output.LayerNorm"
        )
        wide = F.gelu(self.linears[_key(i, "intermediate.dense")](y))
        return self._norm(self.linears[_key(i, "output.dense")](wide) + y, f"encoder.layer.{i}.output.LayerNorm")

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], HEADS, HIDDEN // HEADS).transpose(1, 2)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.norms[name]
        return F.layer_norm(x.float(), (HIDDEN,), weight, bias, 1e-12)

    def lora(self) -> dict[str, Any]:
        """The trained change in the form of `Adapter.lora`, its scale folded into B."""
        out = {}
        for i in range(LAYERS):
            for name in LINEARS:
                layer = self.linears[_key(i, name)]
                out[f"{i}.{name}.A"] = layer.A.detach().float().numpy()
                out[f"{i}.{name}.B"] = (2.0 * layer.B).detach().float().numpy()
        return out


def _key(layer: int, name: str) -> str:
    return f"{layer}:{name.replace('.', '/')}"


def pad(rows: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """ids, mask, types, each (rows, longest row)."""
    width = max(len(r) for r in rows)
    ids, mask, kinds = (torch.zeros(len(rows), width, dtype=torch.long) for _ in range(3))
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
        if types is not None:
            kinds[i, : len(row)] = torch.tensor(types[i])
    return ids, mask, kinds


def mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """Unit vectors (batch, 384)."""
    weights = mask[..., None].to(hidden.dtype)
    return F.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train. The learning rate rises over the first 6% of steps and falls linearly to zero."""

    steps: int
    learning_rate: float = 6e-4
    seed: int = 0
    half: bool = False
    """bfloat16 autocast: faster only on processors with bfloat16 units."""
    average: float = 0.0
    """How much of the running average of the weights each step keeps; the average is what is left at the end. 0: none.
    What is averaged forgets less (Zheng et al. 2023, "Preventing Zero-Shot Transfer Degradation", ZSCL)."""
    checkpoint: Path | None = None
    """Where to keep what is needed to go on after an interruption; removed at the end."""
    told: int = 50
    """Steps between two lines of progress."""
    saved: int = 200
    """Steps between two checkpoints."""


def train(
    model: nn.Module, batches: Iterator[Any], loss: Callable[[Any], Tensor], schedule: Schedule, name: str = "model"
) -> None:
    """Trains the parameters of `model` that ask for gradients, one batch a step; progress goes to standard error.

    With a checkpoint of the same schedule, goes on after its last step. Raises `ModelError` if the loss is no number.
    """
    torch.manual_seed(schedule.seed)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=0.01)
    warm = max(1, int(0.06 * schedule.steps))
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / warm, (schedule.steps - s) / max(1, schedule.steps - warm))
    )
    averaged = [p.detach().clone() for p in parameters] if schedule.average else []
    first = _resume(model, optimizer, rate, averaged, schedule)
    model.train()
    running, begin = None, time.monotonic()
    for step in range(schedule.steps):
        batch = next(batches)
        if step < first:
            continue  # the same batches again, so that a resumed training is the same training
        with torch.autocast("cpu", torch.bfloat16, enabled=schedule.half):
            value = loss(batch)
        if not torch.isfinite(value):
            raise ModelError(
                f"training {name}: the loss is {value.item()} at step {step}", hint="lower the learning rate"
            )
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rate.step()
        if averaged:
            kept = min(schedule.average, (step + 1) / (step + 10))  # the first weights are soon forgotten
            torch._foreach_lerp_(averaged, [p.detach() for p in parameters], 1 - kept)
        running = value.item() if running is None else 0.98 * running + 0.02 * value.item()
        if (step + 1) % schedule.told == 0 or step + 1 == schedule.steps:
            seconds = (time.monotonic() - begin) / (step + 1 - first)
            left = seconds * (schedule.steps - step - 1)
            print(
                f"{name}: step {step + 1}/{schedule.steps}, loss {running:.4f}, "
                f"{seconds:.2f} s a step, {left / 60:.1f} min left",
                file=sys.stderr,
                flush=True,
            )
        if schedule.checkpoint and (step + 1) % schedule.saved == 0:
            _save(model, optimizer, rate, averaged, schedule, step + 1)
    for parameter, mean in zip(parameters, averaged, strict=False):
        parameter.data.copy_(mean)
    model.eval()
    if schedule.checkpoint:
        schedule.checkpoint.unlink(missing_ok=True)


def _signature(schedule: Schedule) -> str:
    return json.dumps([schedule.steps, schedule.learning_rate, schedule.seed, schedule.average])


def _save(
    model: nn.Module, optimizer: Any, rate: Any, averaged: Sequence[Tensor], schedule: Schedule, step: int
) -> None:
    """Keeps where the training stands. One that cannot be kept only cannot be resumed."""
    assert schedule.checkpoint
    trained = {k: v for k, v in model.named_parameters() if v.requires_grad}
    state = {
        "signature": _signature(schedule),
        "step": step,
        "model": trained,
        "optimizer": optimizer.state_dict(),
        "rate": rate.state_dict(),
        "averaged": list(averaged),
    }
    part = schedule.checkpoint.with_suffix(".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        torch.save({**state, "random": torch.get_rng_state()}, part)
        part.replace(schedule.checkpoint)
    except (OSError, RuntimeError) as error:  # torch tells of a full disk by the latter
        with contextlib.suppress(OSError):
            part.unlink()
        why = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
        print(f"warning: {schedule.checkpoint} cannot be written, going on without: {why}", file=sys.stderr, flush=True)


def _resume(model: nn.Module, optimizer: Any, rate: Any, averaged: Sequence[Tensor], schedule: Schedule) -> int:
    if not schedule.checkpoint or not schedule.checkpoint.exists():
        return 0
    try:
        state = torch.load(schedule.checkpoint, weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        print(f"warning: {schedule.checkpoint} is damaged, beginning anew: {error}", file=sys.stderr, flush=True)
        return 0
    if state["signature"] != _signature(schedule):
        return 0
    model.load_state_dict(state["model"], strict=False)
    optimizer.load_state_dict(state["optimizer"])
    rate.load_state_dict(state["rate"])
    for mean, saved in zip(averaged, state["averaged"], strict=True):
        mean.copy_(saved)
    torch.set_rng_state(state["random"])
    return int(state["step"])
