from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra slatewise[train]")

from slatewise.domain.holdout import last_of_each_user  # noqa: E402  after the skip
from slatewise.domain.settings import Settings  # noqa: E402
from slatewise.models.spectral import fit_spectral  # noqa: E402
from slatewise.telemetry.clock import SystemClock  # noqa: E402
from slatewise.training.checkpoint import Checkpoint  # noqa: E402
from slatewise.training.fit_towers import fit_towers  # noqa: E402
from slatewise.training.learn import material_of  # noqa: E402
from slatewise.training.material import TrainingInput  # noqa: E402
from slatewise.training.progress import Silent  # noqa: E402
from slatewise.training.tower_training import new_towers  # noqa: E402
from slatewise.training.validation import Validation  # noqa: E402


class Interrupting:
    """Progress that stops the run as Ctrl-C would, once a pass has begun."""

    def __init__(self, at_pass: int) -> None:
        self.at_pass = at_pass

    def step(self, task: str, done: float, total: float, note: str = "") -> None:
        if f"pass {self.at_pass}," in note:
            raise KeyboardInterrupt


def run(
    given: TrainingInput, settings: Settings, folder: Path, name: str, progress: object
) -> tuple[object, list[float]]:
    material, _ = material_of(given, given.interactions, settings, "none")
    factors = fit_spectral(
        given.interactions.user, given.interactions.item, material.n_items, 16, np.random.default_rng(0)
    )
    held = last_of_each_user(given.interactions)
    validation = Validation.of_held(given.interactions.take(~held), given.interactions.take(held), 20, material.n_items)
    model = new_towers(material, factors, settings.training)
    checkpoint = Checkpoint(folder, name)
    fit = fit_towers(model, material, validation, settings.training, checkpoint, SystemClock(), progress)  # type: ignore[arg-type]
    return fit.model.state_dict(), [step["ndcg@10"] for step in fit.curve]


@pytest.fixture
def one_thread() -> object:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield SimpleNamespace()
    torch.set_num_threads(threads)


def short(settings: Settings) -> Settings:
    # A long time budget: the schedule must depend on passes alone to be comparable.
    return replace(settings, training=replace(settings.training, epochs=4, minutes=60.0))


def test_an_interrupted_run_goes_on_after_its_last_whole_pass_and_ends_the_same(
    given: TrainingInput, settings: Settings, tmp_path: Path, one_thread: object
) -> None:
    settings = short(settings)
    whole, whole_curve = run(given, settings, tmp_path / "a", "run", Silent())
    with pytest.raises(KeyboardInterrupt):
        run(given, settings, tmp_path / "b", "run", Interrupting(at_pass=3))
    resumed, resumed_curve = run(given, settings, tmp_path / "b", "run", Silent())
    assert len(resumed_curve) == len(whole_curve) == 4
    np.testing.assert_allclose(resumed_curve, whole_curve, atol=0.02)
    for name, value in whole.items():  # type: ignore[attr-defined]
        torch.testing.assert_close(resumed[name], value, atol=2e-3, rtol=1e-2)  # type: ignore[index]


def test_a_checkpoint_of_another_run_is_not_taken_up(
    given: TrainingInput, settings: Settings, tmp_path: Path, one_thread: object
) -> None:
    settings = short(settings)
    other = replace(settings, training=replace(settings.training, seed=1))
    with pytest.raises(KeyboardInterrupt):
        run(given, settings, tmp_path / "held", "run", Interrupting(at_pass=3))
    beside, _ = run(given, other, tmp_path / "held", "another", Silent())
    fresh, _ = run(given, other, tmp_path / "fresh", "another", Silent())
    for name, value in fresh.items():  # type: ignore[attr-defined]
        torch.testing.assert_close(beside[name], value, atol=1e-4, rtol=1e-3)  # type: ignore[index]


def test_same_seed_same_towers(given: TrainingInput, settings: Settings, tmp_path: Path, one_thread: object) -> None:
    settings = short(settings)
    (a, _), (b, _) = (run(given, settings, tmp_path / name, "run", Silent()) for name in "ab")
    for name, value in a.items():  # type: ignore[attr-defined]
        torch.testing.assert_close(b[name], value, atol=1e-5, rtol=1e-4)  # type: ignore[index]
