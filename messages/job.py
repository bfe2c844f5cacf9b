"""A job: what to generate, with which models, under which limits. A job file is one of these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from messages.callables import reference_to
from messages.metadata import SchedulingMetadata


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a job file. Unknown keys are refused, so that a typing error is not silence."""


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with a job: where, what was found, and what would be right.

    `path` is the place in the job file, such as `columns.story.prompt`; empty means the whole file.
    `rests_on` are the other places that the problem was found by: it may be gone when one of them says
    something else. `models.*` stands for the names in the table `models`, and `columns.*` for the names
    of the dataset's columns.
    """

    path: str
    message: str
    remedy: str = ""
    rests_on: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the problem as one line for a person."""
        place = f"{self.path}: " if self.path else ""
        return f"{place}{self.message}" + (f" ({self.remedy})" if self.remedy else "")


class JobError(ValueError):
    """A job that cannot be run as it stands. `problems` holds everything found, not only the first.

    Where structure alone is wrong, `readable` is the job with something neutral in place of what could
    not be read, so that the rest can be judged too; `unsure` are the places where it may say otherwise
    than the file will when it is mended.
    """

    def __init__(
        self,
        problems: tuple[Problem, ...],
        *,
        readable: Job | None = None,
        unsure: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
        self.readable = readable
        self.unsure = unsure

    def joined(self, found: Iterable[Problem]) -> tuple[Problem, ...]:
        """Return its own problems, and those `found` in `readable` that mending these cannot dispel."""
        return self.problems + tuple(
            problem
            for problem in found
            if not any(self._is_unsure(place) for place in (problem.path, *problem.rests_on))
        )

    def _is_unsure(self, place: str) -> bool:
        return any(place == each or place.startswith((f"{each}.", f"{each}[")) for each in self.unsure)


# -- where rows come from ------------------------------------------------------------------------


class Source(Config, frozen=True):
    """A file whose records are the job's rows and whose fields are columns of every row.

    `format` is taken from the file's ending where it is not given. CSV values stay text, as they
    stand in the file; JSON lines keep their types.
    """

    path: str
    format: Literal["csv", "jsonl"] | None = None


# -- providers and models ------------------------------------------------------------------------

OVERLOAD_STATUSES = (429, 529)
"""HTTP statuses that mean "too much" unless a provider says otherwise; a 503 with Retry-After always does."""


class Latency(Config, frozen=True):
    """Simulated duration of one call, milliseconds: uniform in `mean - jitter .. mean + jitter`."""

    mean: float = 20.0
    jitter: float = 0.0


class ScriptStep(Config, frozen=True):
    """What a simulated endpoint does from `at` seconds after the job's start on.

    What a step leaves out stays as the step before it said.

    capacity: calls that it serves at once. ramp_seconds: how long the way there takes, in a straight line
    from the capacity before (a slow start, or a sawtooth). retry_after: what a refusal asks for, seconds;
    0: refusals ask for nothing. outage: for so many seconds nothing can be reached. error_rate,
    refuse_rate, hang_rate, reset_rate: the share of calls that end in a 500, in a 429 whatever the
    capacity, never, and in a connection that breaks. latency_factor: how much slower it answers.
    """

    at: float = 0.0
    capacity: int | None = None
    ramp_seconds: float = 0.0
    retry_after: float | None = None
    outage: float = 0.0
    error_rate: float | None = None
    refuse_rate: float | None = None
    hang_rate: float | None = None
    reset_rate: float | None = None
    latency_factor: float | None = None


class SimulatedProvider(Config, frozen=True, tag_field="kind", tag="simulated"):
    """The embedded provider: no network, replies determined by the request and the job's seed.

    `script` is what it does over time, in the order of `at`; with `repeat_seconds` it begins anew each time
    they are over. `when_full`: a call beyond the capacity is refused with a 429, or waits in a queue without
    end, as with servers that never refuse. `overload_statuses` as in `OpenAIProvider`.
    """

    latency_ms: Latency = Latency()
    script: tuple[ScriptStep, ...] = ()
    repeat_seconds: float | None = None
    when_full: Literal["refuse", "queue"] = "refuse"
    overload_statuses: tuple[int, ...] = OVERLOAD_STATUSES


class OpenAIProvider(Config, frozen=True, tag_field="kind", tag="openai"):
    """Any endpoint that speaks the OpenAI API, through the official client (extra `openai`).

    base_url: such as `http://127.0.0.1:8080/v1`; None is OpenAI's own. api_key_env: the environment variable
    that holds the key; None for servers without keys. connect_timeout_seconds: how long getting a connection
    may take. overload_statuses: HTTP statuses that mean "too much"; a 503 with Retry-After always does.
    """

    base_url: str | None = None
    api_key_env: str | None = None
    connect_timeout_seconds: float = 10.0
    overload_statuses: tuple[int, ...] = OVERLOAD_STATUSES


class PythonProvider(Config, frozen=True, tag_field="kind", tag="python"):
    """A provider client of your own: `client` is a class, `module:Class`, made with `options` as keywords.

    It has the methods of `actors.ProviderClient`. `overload_statuses` as in `OpenAIProvider`.
    """

    client: str | Any
    options: dict[str, Any] = {}
    overload_statuses: tuple[int, ...] = OVERLOAD_STATUSES

    def __post_init__(self) -> None:
        """Replace a class by a reference to it, so that the job stays plain data."""
        if callable(self.client):
            msgspec.structs.force_setattr(self, "client", reference_to(self.client))


ProviderConfig = SimulatedProvider | OpenAIProvider | PythonProvider


class RequestAdmissionTuning(Config, frozen=True):
    """How the limit of a model's calls in flight finds its place below `max_parallel_requests`.

    algorithm: `aimd` grows by steps and is cut by rate limits; `gradient` follows the latency per output
    token, for servers that queue instead of refusing; `fixed` stays where it is.
    initial: calls in flight at the start; default, as many as are allowed, and 4 for `gradient`.
    maximum: a bound below `max_parallel_requests`. startup_ramp_seconds: begin with one call and grow to
    `initial` over this.
    cooldown_seconds: the pause after a rate limit that says nothing itself. multiplicative_decrease_factor,
    additive_increase_step, successes_until_increase: the cut and the growth of `aimd` (rules A4, A5).
    ceiling_hold_seconds: so long after a cut the step is put off that goes back to the limit that was cut;
    until then `aimd` stays at what the provider is known to take.
    circuit_after_seconds: so long at the least limit with rate limits and no success opens the circuit (A9).
    circuit_probe_seconds: the first pause between probes then; each is twice the last, up to
    circuit_max_probe_seconds.
    """

    algorithm: Literal["aimd", "fixed", "gradient"] = "aimd"
    initial: int | None = None
    maximum: int | None = None
    startup_ramp_seconds: float = 0.0
    cooldown_seconds: float = 2.0
    multiplicative_decrease_factor: float = 0.75
    additive_increase_step: int = 1
    successes_until_increase: int = 25
    ceiling_hold_seconds: float = 0.0
    circuit_after_seconds: float = 60.0
    circuit_probe_seconds: float = 5.0
    circuit_max_probe_seconds: float = 60.0


class ModelConfig(Config, frozen=True, kw_only=True):
    """An alias for one model of one provider, and the caps it is used under.

    provider: who serves it. providers: several that serve the same model, instead; each call goes to the one
    with the most room, and each has the limits below for itself.
    max_parallel_requests: the static cap of the endpoint, attempts in flight at once.
    requests_per_minute, input_tokens_per_minute, output_tokens_per_minute: what it may use in any sixty
    seconds; None is without a bound.
    timeout_seconds: bounds one attempt from the moment it is sent.
    queue_timeout_seconds: bounds the wait for a request lease; None waits as long as it takes, 0 not at all.
    parameters: sent with every call, such as `temperature` and `max_tokens`.
    """

    provider: str = ""
    providers: tuple[str, ...] = ()
    model: str
    max_parallel_requests: int = 4
    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    timeout_seconds: float = 60.0
    queue_timeout_seconds: float | None = None
    limit: RequestAdmissionTuning = RequestAdmissionTuning()
    parameters: dict[str, Any] = {}

    @property
    def served_by(self) -> tuple[str, ...]:
        """The providers that serve the model, in the order in which they are named."""
        return self.providers or (self.provider,)


# -- columns -------------------------------------------------------------------------------------


class ColumnSettings(Config, frozen=True, kw_only=True):
    """What every kind of column may say beside what fills it.

    `skip` is a condition per row, a Jinja template over the row's other columns: where its text is
    anything but empty, `false`, `no`, `none` or `0`, the cell is not made and gets `skip_default` (in
    each of the column's outputs). What is made from scratch can look at the source's fields only.
    A column that needs a skipped cell is skipped in that row too and gets its own `skip_default`, unless
    one of the two says otherwise: the skipped one by `skip_propagates = false`, the other by
    `skip_when_upstream_skipped = false`.

    `resources` is what one task takes of the resources in `limits.resources` while it runs, such as
    `gpu = 1`: all of it or nothing.
    """

    skip: str | None = None
    skip_default: Any = None
    skip_propagates: bool = True
    skip_when_upstream_skipped: bool = True
    resources: dict[str, int] = {}


class CategoryColumn(ColumnSettings, frozen=True, tag_field="kind", tag="category"):
    """One of `values` for every row, chosen by the job's seed, evenly or by `weights`."""

    values: tuple[Any, ...]
    weights: tuple[float, ...] | None = None


class SequenceColumn(ColumnSettings, frozen=True, tag_field="kind", tag="sequence"):
    """Numbers in row order: `start`, `start + step`, ..."""

    start: int = 0
    step: int = 1


class ExpressionColumn(ColumnSettings, frozen=True, tag_field="kind", tag="expression"):
    """A sandboxed Jinja template over the row's other columns; its text becomes a `dtype`."""

    template: str
    dtype: Literal["str", "int", "float", "bool", "json"] = "str"


class ChatColumn(ColumnSettings, frozen=True, tag_field="kind", tag="chat"):
    """A model's reply to a prompt made by a Jinja template over the row's other columns.

    With an `output_schema`, a JSON Schema, the reply is JSON that fits it and the column's value is what it
    decodes to. A reply that does not fit is answered with what is wrong with it, up to `max_corrections`
    times; then its row is dropped.
    """

    model: str
    prompt: str
    system: str = ""
    output_schema: dict[str, Any] | None = None
    max_corrections: int = 2


class EmbeddingColumn(ColumnSettings, frozen=True, tag_field="kind", tag="embedding"):
    """A model's embedding, a list of numbers, of a text made by a Jinja template."""

    model: str
    input: str


class PythonColumn(ColumnSettings, frozen=True, tag_field="kind", tag="python"):
    """The result of a user's function: a callable, or `module:function`; plain or `async`.

    The function's parameters name the columns it needs; `needs` says so for a function that takes
    `**row` or whose parameters have other names. A parameter `models` gives it the job's models: it may
    make any number of calls (`await models.writer.chat(...)`; without `await` in a plain function). Where a
    column or a field of the source has that name, the parameter gets its values, as any other does.

    scope `cell`: called once per row with that row's values; returns the value.
    scope `batch`: called once per row group with a list per needed column; returns a list of values.
    scope `from_scratch`: called once per row group; a parameter `rows` receives how many rows to
    make, `row_index` the number of the first; returns a list of values.

    With `outputs` it fills several columns: it returns a mapping with one entry per output (of
    lists, where the scope is not `cell`), or a sequence in their order. The table's own name is then
    the generator's name and no column of the dataset.

    `side_effects` are further columns that the function fills beside its outputs (or beside the table's
    own column): they are written and never waited for, so no other column can need one. They come last
    in a sequence; a mapping may leave them out.
    """

    function: str | Any
    scope: Literal["cell", "batch", "from_scratch"] = "cell"
    needs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    side_effects: tuple[str, ...] = ()
    metadata: SchedulingMetadata | None = None
    order_dependent: bool = False
    timeout_seconds: float | None = None

    def __post_init__(self) -> None:
        """Replace a callable by a reference to it, so that the job stays plain data."""
        if callable(self.function):
            msgspec.structs.force_setattr(self, "function", reference_to(self.function))


Column = CategoryColumn | SequenceColumn | ExpressionColumn | ChatColumn | EmbeddingColumn | PythonColumn


# -- processors ----------------------------------------------------------------------------------


class Processor(Config, frozen=True):
    """A user's function over a row group's rows, which may change rows and drop them.

    stage `pre_batch`: called when everything that is made from scratch is there, before any other column;
    a row has the source's fields and the from-scratch columns.
    stage `post_batch`: called when every column is there, before the row group is written; a row has all
    columns. Processors of one stage are called in the order in which they stand.

    The function takes one argument, the list of the surviving rows, each a dict. It returns a list with
    one entry per row, in their order: a dict with the row's values (a column that it leaves out stays as
    it was), True to keep the row as it was, or None or False to drop it. If it fails, the job fails.
    """

    stage: Literal["pre_batch", "post_batch"]
    function: str | Any
    timeout_seconds: float | None = None

    def __post_init__(self) -> None:
        """Replace a callable by a reference to it, so that the job stays plain data."""
        if callable(self.function):
            msgspec.structs.force_setattr(self, "function", reference_to(self.function))


# -- limits and failure --------------------------------------------------------------------------


class Limits(Config, frozen=True):
    """How much may run at once. Every one of these is a capacity that task admission counts.

    submission: tasks admitted at once, of any kind.
    row_group_concurrency: row groups in memory at once.
    row_group_admission: `fixed` fills that number at once; `adaptive` starts with one row group and takes
    in another only while models idle.
    adaptive_row_guard: rows in memory at once under adaptive admission; default, no bound of its own.
    llm_wait: tasks of model columns at once; default, the sum of `request:<provider>/<model>`, the tasks of
    each model at once: a quarter more than it takes calls, so that few of them wait for a lease.
    local: tasks of local columns at once.
    threads: plain (not `async`) user functions at once; each has a thread.
    resources: named resources of your own, such as `gpu = 2`.
    group_limit_factor: a model column's admitted limit, in multiples of its model's cap.
    policy: who may start while capacity is free. `strict_fair`: a column keeps to its admitted limit while
    another could use the capacity. `bounded_borrow`: a weighted share each, and beyond it only while nobody
    else is queued. `provider_aware`: the same, but work whose model cannot be called now (a rate limit, an
    open circuit, calls that wait already) lets other work go first. `service_time_fair`: weights are shares
    of the time that tasks hold capacity, and not of their number, so short work does not wait behind long
    work; it heeds providers too. `module:Class`: your own, a class with `TaskAdmissionPolicy`'s methods.
    """

    submission: int = 1024
    row_group_concurrency: int = 3
    row_group_admission: Literal["fixed", "adaptive"] = "fixed"
    adaptive_row_guard: int | None = None
    llm_wait: int | None = None
    local: int = 256
    threads: int = 32
    resources: dict[str, int] = {}
    group_limit_factor: int = 2
    policy: str = "provider_aware"


class FailurePolicy(Config, frozen=True):
    """What happens to work that fails in a way that may pass.

    A retryable failure is tried again after `backoff_seconds`, doubling up to `max_backoff_seconds`,
    at most `max_retries` times; then its row is dropped with the reason.

    A call that ends in a 5xx or a broken connection is made again within its task up to `request_retries`
    times, each under a lease of its own, before that counts as a failure.

    The job ends early, and keeps what has finished, when more than the share `early_shutdown_rate` of the
    last `early_shutdown_window` finished tasks failed in a way that trying again would not mend. None (or 1,
    where a file cannot say that) switches this off.
    """

    max_retries: int = 3
    request_retries: int = 2
    backoff_seconds: float = 0.5
    max_backoff_seconds: float = 30.0
    early_shutdown_rate: float | None = 0.5
    early_shutdown_window: int = 50


class Output(Config, frozen=True):
    """How a run's folder is written.

    `journal_fsync`: when finished model calls are forced onto the disk. `interval`: within a second;
    `always`: at once; `never`: as the operating system likes. It matters for a loss of power alone: a
    process that is killed loses none of them either way.
    """

    journal_fsync: Literal["never", "interval", "always"] = "interval"


class Job(Config, frozen=True):
    """What to generate. A TOML or JSON job file holds exactly these fields.

    `rows` is required unless a `source` gives them; with a source it takes the first `rows` records.
    `on_provider_exhausted` is what happens when a provider does nothing but refuse for long (its model's
    `limit.circuit_after_seconds`): `wait` for it, with a call now and then to see, or `stop` the job; what
    has finished is kept either way. `health_check`: ask every provider whether it is there, takes the key
    and knows the model, before any row is made.
    `base_dir` is where relative paths and `module:function` are looked up first; `load_job` sets it to
    the job file's folder.
    """

    name: str
    rows: int | None = None
    row_group_size: int = 100
    seed: int = 0
    source: Source | None = None
    providers: dict[str, ProviderConfig] = {}
    models: dict[str, ModelConfig] = {}
    columns: dict[str, Column] = {}
    processors: dict[str, Processor] = {}
    on_provider_exhausted: Literal["wait", "stop"] = "wait"
    health_check: bool = True
    limits: Limits = Limits()
    failure: FailurePolicy = FailurePolicy()
    output: Output = Output()
    base_dir: str = ""
