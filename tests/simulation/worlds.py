"""A world: a job, how its actors are scheduled, and what goes wrong; all of it drawn from one number."""

from __future__ import annotations

import random

import msgspec

from messages.job import (
    CategoryColumn,
    ChatColumn,
    EmbeddingColumn,
    ExpressionColumn,
    FailurePolicy,
    Job,
    Latency,
    Limits,
    ModelConfig,
    Output,
    Processor,
    PythonColumn,
    RequestAdmissionTuning,
    ScriptStep,
    SequenceColumn,
    SimulatedProvider,
)
from tests.simulation.faults import Fault, draw_faults

CODE = "tests.simulation.user_code"

CELLS = ("plain", "waits", "answers_at_once", "plain", "waits")
BAD_CELLS = ("fails", "fails_later", "exits", "blocks", "never_ends", "clings", "unstorable")
BATCHES = ("batch", "async_batch", "batch", "wrong_shape")
SCRATCH = ("from_scratch", "async_from_scratch", "from_scratch", "no_scratch")

DROPPED_BY = {
    "fails": {"user_exception"},
    "fails_later": {"user_exception"},
    "exits": {"user_exception"},
    "unstorable": {"wrong_type"},
    "wrong_shape": {"wrong_shape"},
    "no_scratch": {"user_exception"},
}
"""The reasons for which a function's rows may be dropped."""


class Scheduling(msgspec.Struct, frozen=True):
    """How the stage chooses. `spread`, `slow` and `jitter` as in `Stage`; `serialize` as in the router."""

    seed: int
    spread: float = 0.0
    slow: str | None = None
    jitter: float = 0.0
    serialize: bool = False


class World(msgspec.Struct, frozen=True):
    """`in_folder`: the rows are written to the simulated disk, and a killed run is resumed from it."""

    seed: int
    job: Job
    scheduling: Scheduling
    faults: tuple[Fault, ...] = ()
    in_folder: bool = False


def draw(seed):
    """Return the world of a seed."""
    chance = random.Random(seed)
    in_folder = chance.random() < 0.5
    job = _job(chance)
    scheduling = Scheduling(
        seed=chance.getrandbits(32),
        spread=chance.choice((0.0, 0.0, 0.3, 1.0)),
        slow=chance.choice(
            (None, None, "task_admission", "request_admission", "worker", "scheduler", "storage")
        ),
        jitter=chance.choice((0.0, 0.0, 0.01, 0.3)),
        serialize=chance.random() < 0.1,
    )
    return World(seed, job, scheduling, draw_faults(chance, job, in_folder=in_folder), in_folder)


def _job(chance):
    number = chance.choice((0, 1, 1, 1, 2, 2, 3))
    columns = _columns(chance, tuple(f"m{index}" for index in range(number)))
    models, providers = _models(chance, number)
    impatient = any(model.queue_timeout_seconds == 0.0 for model in models.values())
    return Job(
        name="world",
        rows=chance.choice((0, 1, 2, 3, 5, 8, 8, 13, 13, 21, 34)),
        row_group_size=chance.choice((1, 2, 3, 4, 5, 8, 100)),
        seed=chance.randrange(100),
        providers=providers,
        models=models,
        columns=columns,
        processors=_processors(chance),
        on_provider_exhausted=chance.choice(("wait", "wait", "stop")),
        health_check=chance.random() < 0.2,
        limits=_limits(chance),
        failure=FailurePolicy(
            max_retries=chance.choice((0, 1, 3, 3)),
            request_retries=chance.choice((0, 1, 2)),
            backoff_seconds=0.5 if impatient else chance.choice((0.01, 0.5)),
            early_shutdown_rate=chance.choice((None, None, 0.5)),
            early_shutdown_window=chance.choice((5, 50)),
        ),
        output=Output(journal_fsync=chance.choice(("never", "interval", "always"))),
    )


def _models(chance, number):
    models, providers = {}, {}
    tuning = _tuning(chance)  # aliases of one endpoint have to agree
    for index in range(number):
        mean = chance.choice((1.0, 20.0, 200.0))
        providers[f"p{index}"] = SimulatedProvider(
            latency_ms=Latency(mean=mean, jitter=mean * chance.choice((0.0, 0.5, 1.0))),
            script=_script(chance),
            when_full=chance.choice(("refuse", "refuse", "queue")),
        )
    for index in range(number):
        served = tuple(chance.sample(list(providers), chance.choice((1, 1, 1, min(2, number)))))
        budget = chance.choice((None, None, None, None, 60))
        waits = chance.choice((None, None, None, 0.0, 0.5, 5.0))
        models[f"m{index}"] = ModelConfig(
            providers=served,
            model=chance.choice(("small", "large")),
            max_parallel_requests=chance.choice((1, 2, 4, 8)),
            requests_per_minute=budget,
            output_tokens_per_minute=chance.choice((None, None, None, 20_000)),
            timeout_seconds=chance.choice((1.0, 5.0, 60.0)),
            queue_timeout_seconds=waits,
            limit=tuning,
            parameters=chance.choice(({}, {"max_tokens": 16})),
        )
    return models, providers


def _tuning(chance):
    algorithm = chance.choice(("aimd", "aimd", "aimd", "fixed", "gradient"))
    return RequestAdmissionTuning(
        algorithm=algorithm,
        startup_ramp_seconds=chance.choice((0.0, 0.0, 0.5)) if algorithm == "aimd" else 0.0,
        cooldown_seconds=chance.choice((0.01, 0.5, 2.0)),
        successes_until_increase=chance.choice((1, 3, 25)),
        circuit_after_seconds=chance.choice((1.0, 60.0)),
        circuit_probe_seconds=chance.choice((0.5, 5.0)),
    )


def _script(chance):
    """Return a provider's troubles: they end within a minute of virtual time, for good."""
    kind = chance.choice(("calm", "calm", "calm", "narrow", "storm", "outage", "errors", "hangs", "slow"))
    calm = ScriptStep(
        at=chance.choice((2.0, 20.0, 50.0)),
        error_rate=0.0,
        refuse_rate=0.0,
        hang_rate=0.0,
        reset_rate=0.0,
        latency_factor=1.0,
        capacity=100,
    )
    match kind:
        case "narrow":
            return (ScriptStep(capacity=chance.choice((1, 2, 3)), retry_after=chance.choice((None, 0.5))),)
        case "storm":
            after = chance.choice((None, 0.2, 3.0))
            return (ScriptStep(refuse_rate=chance.choice((0.3, 1.0)), retry_after=after), calm)
        case "outage":
            return (ScriptStep(at=chance.choice((0.0, 0.05)), outage=chance.choice((0.5, 10.0))),)
        case "errors":
            return (
                ScriptStep(error_rate=chance.choice((0.1, 0.6)), reset_rate=chance.choice((0.0, 0.2))),
                calm,
            )
        case "hangs":
            return (ScriptStep(hang_rate=chance.choice((0.1, 0.5))), calm)
        case "slow":
            return (ScriptStep(latency_factor=20.0, capacity=2), calm)
        case _:
            return ()


def _columns(chance, models):
    columns = {"n": SequenceColumn()}
    fields = ["n"]
    for index in range(chance.choice((1, 2, 2, 3, 3, 4, 5))):
        needs = tuple(sorted(chance.sample(fields, min(len(fields), chance.choice((1, 1, 2))))))
        name, column = f"c{index}", _column(chance, models, needs, index)
        columns[name] = column
        outputs = getattr(column, "outputs", ()) or (name,)
        fields += outputs
    return columns


def _column(chance, models, needs, index):
    kinds = ["category", "expression", "cell", "cell", "bad", "batch", "scratch", "two"]
    if models:
        kinds += ["chat"] * 6 + ["embedding", "asks"]
    kind = chance.choice(kinds)
    template = " ".join(f"{{{{ {need} }}}}" for need in needs)
    skip = f"{{{{ {needs[0]} | string | length % 3 == 0 }}}}" if chance.random() < 0.15 else None
    settings = {"skip": skip, "skip_propagates": chance.random() < 0.7} if skip else {}
    match kind:
        case "category":
            return CategoryColumn(values=("red", "green", "blue"))
        case "expression":
            return ExpressionColumn(template=template, **settings)
        case "chat":
            return ChatColumn(model=chance.choice(models), prompt=f"Tell of {template}", **settings)
        case "embedding":
            return EmbeddingColumn(model=chance.choice(models), input=template, **settings)
        case _:
            return _function(chance, kind, needs, index, settings)


def _function(chance, kind, needs, index, settings):
    match kind:
        case "asks":
            return _python(chance.choice(("asks", "asks_together")), needs, **settings)
        case "cell":
            return _python(chance.choice(CELLS), needs, **settings)
        case "bad":
            return _python(
                chance.choice(BAD_CELLS), needs, timeout_seconds=chance.choice((0.03, 2.0)), **settings
            )
        case "batch":
            return _python(chance.choice(BATCHES), needs, scope="batch", **settings)
        case "two":
            return _python("two", needs, outputs=(f"left{index}", f"right{index}"), **settings)
        case _:
            ordered = chance.random() < 0.3
            return PythonColumn(
                function=f"{CODE}:{chance.choice(SCRATCH)}", scope="from_scratch", order_dependent=ordered
            )


def _python(name, needs, **settings):
    return PythonColumn(function=f"{CODE}:{name}", needs=needs, **settings)


def _processors(chance):
    if chance.random() < 0.8:
        return {}
    function = chance.choice(("keeps", "sorts_out", "changes", "breaks"))
    stage = chance.choice(("pre_batch", "post_batch"))
    return {"processor": Processor(stage=stage, function=f"{CODE}:{function}")}


def _limits(chance):
    return Limits(
        submission=chance.choice((1, 2, 8, 1024)),
        row_group_concurrency=chance.choice((1, 2, 3, 5)),
        row_group_admission=chance.choice(("fixed", "fixed", "adaptive")),
        llm_wait=chance.choice((None, None, 1, 4)),
        local=chance.choice((1, 3, 256)),
        threads=chance.choice((1, 2, 32)),
        group_limit_factor=chance.choice((1, 2)),
        policy=chance.choice(("strict_fair", "bounded_borrow", "provider_aware", "service_time_fair")),
    )


def without(world, kinds):
    """Return a world without its faults of these kinds."""
    faults = tuple(fault for fault in world.faults if type(fault).__name__ not in kinds)
    return msgspec.structs.replace(world, faults=faults)


def described(world):
    """Return a world as one line: its rows, its columns, and what goes wrong."""
    job = world.job
    columns = ", ".join(
        f"{name} {getattr(column, 'function', column.__struct_config__.tag).rpartition(':')[2]}"
        for name, column in job.columns.items()
    )
    scripts = [f"{name} {_kinds_of(provider)}" for name, provider in job.providers.items() if provider.script]
    faults = [msgspec.json.encode(fault).decode() for fault in world.faults]
    where = "in a folder" if world.in_folder else "in memory"
    return (
        f"{job.rows} rows by {job.row_group_size} {where} ({columns}), {job.limits.policy}; "
        f"providers: {', '.join(scripts) or 'calm'}; faults: {', '.join(faults) or 'none'}"
    )


def _kinds_of(provider):
    """Return which settings a provider's script turns."""
    turned = {
        name
        for step in provider.script
        for name in step.__struct_fields__
        if name != "at" and getattr(step, name)
    }
    return "+".join(sorted(turned))


def functions_of(job):
    """Return the names of the users' functions that a job calls."""
    columns = [column.function for column in job.columns.values() if isinstance(column, PythonColumn)]
    processors = [processor.function for processor in job.processors.values()]
    return {function.rpartition(":")[2] for function in (*columns, *processors)}
