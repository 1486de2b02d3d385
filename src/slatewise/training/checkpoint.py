"""Tower training written down after each pass, so that an interrupted run goes on where it was. No pickle."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from slatewise.training.tower_training import TowerFit, TowerTrainer

TENSORS, STORY = "towers.safetensors", "towers.json"


class _Story(msgspec.Struct, frozen=True):
    run: str
    curve: list[dict[str, Any]]
    best: float
    best_epoch: int
    spent_ms: float
    random: dict[str, Any]


def run_name(*parts: object) -> str:
    """Return a short name for everything that must be equal for a run to be the same run."""
    return blake2b(repr(parts).encode(), digest_size=16).hexdigest()


class Checkpoint:
    """One folder that holds at most one unfinished run. The story is written last and names its tensors' run."""

    def __init__(self, folder: Path, run: str) -> None:
        self._folder = folder
        self._run = run

    def save(
        self, trainer: TowerTrainer, fit: TowerFit, best: float, best_state: dict[str, Tensor], spent_ms: float
    ) -> None:
        """Write the state after a pass, over the one before."""
        self._folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"model.{k}": v for k, v in trainer.model.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in best_state.items()}
        tensors["random"] = torch.get_rng_state()
        for i, optimiser in enumerate(trainer.optimisers):
            for j, state in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{i}.{j}.{k}": torch.as_tensor(v) for k, v in state.items()}
        story = _Story(self._run, fit.curve, best, fit.best_epoch, spent_ms, _texts(trainer.rng.bit_generator.state))
        (self._folder / STORY).unlink(missing_ok=True)
        save_file({k: v.contiguous().clone() for k, v in tensors.items()}, self._folder / TENSORS)
        partial = self._folder / f"{STORY}.partial"
        partial.write_bytes(msgspec.json.encode(story))
        partial.replace(self._folder / STORY)

    def load(self, trainer: TowerTrainer, fit: TowerFit) -> tuple[float, dict[str, Tensor], float] | None:
        """Put the trainer where it was; return best score, best weights and time spent. None without such a run."""
        try:
            story = msgspec.json.decode((self._folder / STORY).read_bytes(), type=_Story)
        except (OSError, msgspec.MsgspecError):
            return None
        if story.run != self._run:
            return None
        tensors = load_file(self._folder / TENSORS)
        trainer.model.load_state_dict(_under(tensors, "model."))
        for i, optimiser in enumerate(trainer.optimisers):
            held = optimiser.state_dict()
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in _under(tensors, f"optimiser.{i}.").items():
                place, key = name.split(".", 1)
                state.setdefault(int(place), {})[key] = value
            optimiser.load_state_dict({"state": state, "param_groups": held["param_groups"]})
        torch.set_rng_state(tensors["random"])
        trainer.rng.bit_generator.state = _numbers(story.random)
        fit.curve[:] = [{k: float("nan") if v is None else v for k, v in step.items()} for step in story.curve]
        fit.best_epoch = story.best_epoch
        return story.best, _under(tensors, "best."), story.spent_ms

    @staticmethod
    def clear(folder: Path) -> None:
        """Remove the run in *folder*, if any: it is finished."""
        for name in (STORY, TENSORS):
            (folder / name).unlink(missing_ok=True)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _texts(state: Any) -> Any:
    """Spell the generator's 128-bit numbers out: JSON readers stop at 64."""
    if isinstance(state, dict):
        return {k: _texts(v) for k, v in state.items()}
    return f"int:{state}" if isinstance(state, int) else state


def _numbers(state: Any) -> Any:
    if isinstance(state, dict):
        return {k: _numbers(v) for k, v in state.items()}
    return int(state.removeprefix("int:")) if isinstance(state, str) and state.startswith("int:") else state
