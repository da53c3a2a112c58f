"""Runs: from a spec to its record, doing only what is missing.

Under its lease, a run trains its prerequisites, then its model, and then measures. Training saves the weights, which
measuring needs; measuring writes the record.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, cast

import torch
from threadpoolctl import threadpool_limits

from genbench.core import Data, Model, Trainable
from genbench.errors import ConfigError, RunFailed, Unsupported, described, full_reason
from genbench.metrics.measurement import check_network, evaluate, unsupported
from genbench.numerics.precision import float32_products
from genbench.registry import metrics
from genbench.runs import provenance
from genbench.runs.component import with_files
from genbench.runs.memory_estimate import exhausted
from genbench.runs.monitoring.callbacks import read_steps
from genbench.runs.monitoring.sample_files import save_sample_picture, save_samples
from genbench.runs.record import beside, check_readable, merge_rows, missing_metrics, without_measured
from genbench.runs.record_types import Measurement, Origin, Record, SpecJson, metric_of, no_origin
from genbench.runs.spec import Spec, plan_of, sampling_of
from genbench.runs.store import Store, labels_of, run_name
from genbench.runs.train_or_resume import Member, build_untrained, fit_and_save, take_weights, with_prefix
from genbench.runs.weights_file import restore_weights
from genbench.settings import settings_in
from genbench.storage import content_hash, files, lease
from genbench.storage.files import Damaged
from genbench.storage.lease import Busy
from genbench.training import checkpoint
from genbench.training.loop import Progress, no_progress
from genbench.training.process_group import Group, start_group
from genbench.user_code import file_of

Metrics = Mapping[str, Mapping[str, Any]]
"""Version and settings of metrics, by name."""


class Launch(NamedTuple):
    """Where a run runs, and how long it waits for other processes.

    Args:
        accelerator: auto, cpu, cuda or gpu, see `start_group`.
        wait: seconds to wait for a process that holds the same run.
    """

    accelerator: str = "auto"
    wait: float = math.inf

    def group(self) -> Group:
        """Return the group of this process, which it joins at the first call."""
        return start_group(self.accelerator)

    @contextmanager
    def hold(self, store: Store, spec: Spec) -> Iterator[Store]:
        """Hold the lease of a run; in a group, the first process holds it.

        Raises:
            Busy: in all processes, if a process outside the group holds it.
        """
        group, busy = self.group(), None
        with ExitStack() as opened:
            try:
                held = opened.enter_context(store.hold(spec, self.wait)) if group.is_first else store
            except Busy as error:
                held, busy = store, error
            busy = group.broadcast(busy)
            if busy is not None:
                raise busy
            yield held


LAUNCH = Launch()

ATTEMPTS = 2
"""Number of attempts: saved weights that turn out to be damaged are trained once more."""


def run(
    spec: Spec,
    store: Store,
    *,
    progress: Progress = no_progress,
    launch: Launch = LAUNCH,
    may_train: bool = True,
    again: Collection[str] = (),
) -> Record:
    """Train, sample and measure what the store does not have yet, and return the record.

    A spec without metrics is only trained.

    Args:
        launch: the device, and how long to wait for other processes.
        may_train: False refuses to train: the weights must be saved already.
        again: metrics to measure again if they had no value, because what they lacked may be available now.

    Raises:
        RunFailed: if training or a metric failed; the reason is saved beside the log, and no record is written.
        ConfigError: if `may_train` is False and there are no saved weights.
        Busy: if another process holds the run, or a prerequisite, for too long.
    """
    group = launch.group()
    record = store.record(spec)
    if group.broadcast(store.is_complete(spec, record, again)):
        return cast(Record, record)
    for _ in range(ATTEMPTS):
        spec.check_files()
        alone = group.broadcast(not may_train or store.has_weights(spec))
        with _hold_all([spec] if alone else spec.members, store, launch) as held:
            own = held[spec.train_key]
            record = own.record(spec)  # read again: another process may have written it before this one got the lease
            if group.broadcast(own.is_complete(spec, record, again)):
                return cast(Record, record)
            missing = group.broadcast(missing_metrics(record, spec, again))
            if not alone:
                failed = _train(spec, held, {spec.train_key: progress}, launch, missing)
                if spec.train_key in failed:
                    raise RunFailed(failed[spec.train_key])
            with _attempt([spec], [own]):
                new_record = _measure(spec, own, record, missing, group, may_train)
        if new_record is not None:
            return new_record
    raise RunFailed(f"{files.shown(store.weights_path(spec))} is damaged right after it was written: check the disk")


def train(spec: Spec, store: Store, progress: Mapping[str, Progress], *, launch: Launch = LAUNCH) -> dict[str, str]:
    """Train the model of a spec, with its prerequisites and all members of its ensemble, unless that is done.

    A model that is incompatible with the data is not trained; its record says why. Training keys of the members are the
    keys of the progress callbacks, and of the returned reasons why members failed.

    Raises:
        RunFailed: if all members failed, or a prerequisite failed.
        Busy: if another process holds a member or a prerequisite for too long.
    """
    if launch.group().broadcast(store.has_weights(spec)):
        return {}
    spec.check_files()
    with _hold_all(spec.members, store, launch) as held:
        return _train(spec, held, progress, launch, spec.metrics)


@contextmanager
def _hold_all(specs: Sequence[Spec], store: Store, launch: Launch) -> Iterator[dict[str, Store]]:
    """Hold the leases of runs, and yield the stores that may write them, by their training keys."""
    lease.start_expiry_timers(store.root / "leases", map(run_name, specs))
    with ExitStack() as leases:
        # All processes take the leases in this order, so that no two wait for each other.
        yield {each.train_key: leases.enter_context(launch.hold(store, each)) for each in specs}


def _train(
    spec: Spec, held: Mapping[str, Store], progress: Mapping[str, Progress], launch: Launch, measured: Metrics
) -> dict[str, str]:
    """Train as `train` does, under the leases of all members. Check the files that metrics need first."""
    specs, group = spec.members, launch.group()
    if spec.stack and group.size > 1:  # a group would divide the members, not the batch
        raise ConfigError("an ensemble trains in one process: start it without torchrun and --devices")
    store = Store(held[spec.train_key].root)
    if group.broadcast(store.has_weights(spec)):
        return {}
    if plan_of(spec).released:
        raise ConfigError(f"{run_name(spec)} needs released weights, which are not here: run genbench results import")
    with _attempt(specs, list(held.values())):
        data = spec.build_data()
        try:
            members = [
                Member(each, build_untrained(each, data), own, progress.get(each.train_key, no_progress))
                for each, own in zip(specs, held.values(), strict=True)
            ]
        except Unsupported:
            return {}
        _check_files(measured, data, trains=True)
        spent: dict[str, float] = {}
        for member in members:
            spent |= learn_from_prerequisites(member.spec, member.model, store, data, member.progress, launch)
        reasons = fit_and_save(members, data, group, spent)
    return {each.train_key: reason for each, reason in zip(specs, reasons, strict=True) if reason is not None}


@float32_products("ieee")
def learn_from_prerequisites(
    spec: Spec,
    model: Trainable,
    store: Store,
    data: Data,
    progress: Progress = no_progress,
    launch: Launch = LAUNCH,
) -> dict[str, float]:
    """Give a model what it needs from its prerequisites, and return what they cost."""
    trained, spent = {}, {}
    for name, needed in spec.prerequisites.items():
        trained[name], cost = _trained(name, needed, store, data, progress, launch)
        spent |= {f"{name}_steps": float(needed.plan["steps"])} if needed.plan else {}
        # An encoder that this run shares with its teacher is a prerequisite itself, and is counted there.
        shared = [own for own, one in needed.prerequisites.items() if spec.prerequisites.get(own) == one]
        total = cost.get("total_train_seconds", cost["train_seconds"])
        spent[f"{name}_seconds"] = total - sum(cost.get(f"{own}_seconds", 0.0) for own in shared)
    torch.set_num_threads(plan_of(spec).threads)
    return spent | model.learn_from(trained, data, spec.seed)


def _trained(
    name: str, spec: Spec, store: Store, data: Data, progress: Progress, launch: Launch
) -> tuple[Trainable, dict[str, float]]:
    """Return a trained prerequisite and the cost of its training; train it if there are no saved weights."""
    model = build_untrained(spec, data)
    for _ in range(ATTEMPTS):
        has_weights = launch.group().broadcast(store.has_weights(spec))
        try:
            own_launch = launch._replace(wait=0.0) if has_weights else launch
            run(spec, store, progress=with_prefix(progress, name), launch=own_launch)
        except RunFailed as error:
            raise RunFailed(f"the {name}, {spec.model_label}: {error}") from error
        except Busy:  # another process may be measuring it under the lease, but its weights suffice here
            if not has_weights:
                raise
        try:
            path = store.weights_path(spec)
            training = restore_weights(model, path, spec) if path.exists() else None
        except Damaged:
            with launch.hold(store, spec) as held:
                training = take_weights(model, spec, held)
        if training is not None:
            return model.eval().to(launch.group().device), training["cost"]
    raise RunFailed(f"the {name}, {spec.model_label}, has no weights")


def _measure(
    spec: Spec, held: Store, record: Record | None, missing: Metrics, group: Group, may_train: bool
) -> Record | None:
    """Measure what is missing and write the record; None if the weights turned out to be damaged."""
    data, plan = spec.build_data(), plan_of(spec)
    torch.set_num_threads(plan.threads)
    try:
        model = build_untrained(spec, data)
    except Unsupported as reason:
        rows = [row for name in missing for row in unsupported(name, str(reason))]
        return _write(spec, held, data, record, rows, missing, no_origin(), {}, group)
    path = held.weights_path(spec)
    training = take_weights(model, spec, held) if may_train else restore_weights(model, path, spec)
    if training is None:
        return None
    _check_files(missing, data, trains=False)
    model.eval().to(group.device)
    rows, cost = [], {}
    if group.is_first:
        checkpoint.drop(held.folder(spec))
    if isinstance(model, Model) and missing:
        chosen = {name: settings_in(part) for name, part in missing.items()}
        with provenance.Meter(group.device) as meter:
            sampling = sampling_of(spec)
            rows, main = evaluate(
                model, data, chosen, sample=spec.sample, sampling=sampling, seed=spec.seed, group=group
            )
        rows = [with_files(row, missing[metric_of(row)].get("content", {})) for row in rows]
        if group.is_first:
            folder = held.record_path(spec).parent
            rows += read_steps(folder / "steps", plan, missing)
            save_samples(folder, main, data)
            save_sample_picture(folder, main, data)
        cost = {"sample_seconds": main.seconds, "evaluate_seconds": meter.seconds, "evaluate_peak_mib": meter.peak_mib}
    return _write(spec, held, data, record, rows, missing, training, cost, group)


def _check_files(measured: Metrics, data: Data, *, trains: bool) -> None:
    """Raise ConfigError if files that metrics need are damaged, differ from the request or cannot be downloaded."""
    for name, part in measured.items():
        settings = settings_in(part)
        if content_hash.of_settings(metrics[name].build, settings, name) != part.get("content", {}):
            raise ConfigError(f"{name}: a file in its settings changed during the run: run it again")
        if "features" in settings:
            check_network(data, name, settings, trains)


def _write(
    spec: Spec,
    held: Store,
    data: Data,
    old: Record | None,
    rows: Sequence[Any],
    measured: Metrics,
    training: Origin,
    cost: Mapping[str, float],
    group: Group,
) -> Record:
    """Write a record with newly measured metrics, and return it.

    Older values keep the origin of their measurement and of the training that made them, whose weights may be gone.
    """
    metrics = (old["spec"]["metrics"] if old is not None else {}) | spec.metrics
    measurements = without_measured(old["provenance"]["measurements"], measured) if old is not None else []
    first = old["provenance"]["training"] if old is not None and measurements else training
    if measured:
        added: Measurement = {"metrics": sorted(measured), **provenance.origin(group.device, cost)}
        measurements += beside([added], training, first)
    of_file = {} if spec.content is None else {"sha256": spec.content}
    record = Record(
        labels=labels_of(spec),
        spec=cast(SpecJson, spec.json() | {"metrics": dict(sorted(metrics.items()))}),
        results=merge_rows(old, rows, measured),
        provenance={"data": dict(data.provenance) | of_file, "training": first, "measurements": measurements},  # type: ignore[typeddict-item]
    )
    check_readable(record)
    if group.is_first:
        held.write_record(spec, record)
    return group.broadcast(record)


@contextmanager
def _attempt(specs: Sequence[Spec], held: Sequence[Store]) -> Iterator[None]:
    """Limit a block to the threads of the plan; if it fails, save the reason beside its runs.

    Raises:
        ConfigError: if there is not enough memory; the message says what to set.
    """
    provenance.code()  # read once, and now: the checkout may change while this process trains
    try:
        # Rounding depends on the number of threads, so the plan sets it, not the machine.
        with threadpool_limits(plan_of(specs[0]).threads, user_api="blas"):
            yield
    except (ConfigError, Busy):  # not a failure of the run
        raise
    except (Exception, SystemExit) as error:  # a component that calls sys.exit fails like any other
        if (why := exhausted(error, specs[0].model)) is not None:
            raise ConfigError(why) from error
        for spec, store in zip(specs, held, strict=True):
            store.write_failure(spec, full_reason(error))
        names = (specs[0].model["name"], specs[0].data["name"], *specs[0].metrics)
        own = {name.partition("@")[0]: path for name in names if (path := file_of(name)) is not None}
        checks = [f"genbench check {path} tests your {name}" for name, path in own.items()]
        hint = f" ({'; '.join(checks)})" if checks else ""
        known = isinstance(error, (RunFailed, Unsupported, OSError, MemoryError))
        ends = isinstance(error, (SystemExit, BrokenPipeError))  # one would end a sweep, the other look like `| head`
        if ends or (own and not known):
            raise RunFailed(f"{described(error)}{hint}") from error
        raise
