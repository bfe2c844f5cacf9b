"""A limit in the hands of a small admission: leases go out, and come back as a test says."""

from __future__ import annotations

from hypothesis import strategies as st

from actors.request_admission.limits import make_limit
from bench.moving.controllers import LimitAlone
from bench.moving.server import VirtualServer
from bench.moving.simulation import simulate
from messages.job import RequestAdmissionTuning
from messages.request_admission import RequestLease, RequestOutcome
from tests.actors.request_admission.request_builders import CHAT

IGNORED = ("provider_failure", "provider_timeout", "local_cancelled", "local_timeout", "unexpected_exception")
"""How an attempt can end without saying anything of the provider's capacity (A6)."""

DECREASED, INCREASED = "request_limit_decreased", "request_limit_increased"
SOFT_CEILING, FULLY = "request_soft_ceiling_recovered", "request_fully_recovered"


def a_limit(algorithm="aimd", *, cap=8, initial=None, clamp=None, **tuning):
    tuned = RequestAdmissionTuning(algorithm=algorithm, **tuning)
    return make_limit(tuned, static_cap=cap, initial=initial, clamp=clamp)


class Driver:
    """`limit`, the leases that are out, and everything that it has told so far."""

    def __init__(self, limit):
        self.limit = limit
        self.now = 0.0
        self.out = []
        self.told = []
        self.last_id = 0

    def take(self):
        """Let one attempt leave, whatever the limit is; return its lease."""
        self.limit.on_acquire(now=self.now)
        self.last_id += 1
        lease = RequestLease(self.last_id, 1, CHAT, self.now, self.limit.current, self.limit.effective_max)
        self.out.append(lease)
        return lease

    def fill(self):
        """Let as many leave as may; return all that are out."""
        while len(self.out) < self.limit.current:
            self.take()
        return list(self.out)

    def give_back(self, lease, kind="success", *, cooling=False, seconds=None, tokens=None, retry_after=None):
        """End one attempt; return what the limit told of it."""
        outcome = RequestOutcome(
            kind, retry_after_seconds=retry_after, duration_seconds=seconds, output_tokens=tokens
        )
        told = self.limit.on_return(lease, outcome, now=self.now, in_flight=len(self.out), cooling=cooling)
        self.out.remove(lease)
        self.told += told
        return told

    def succeed(self, times, **how):
        """Let so many attempts succeed, the limit being used to the full."""
        for _ in range(times):
            self.now += 0.01
            self.give_back(self.fill()[-1], **how)

    def refuse(self, **how):
        """Let one fresh attempt be refused, a second later; return what the limit told of it."""
        self.now += 1.0
        return self.give_back(self.take(), "rate_limited", **how)

    def advance(self, seconds):
        """Let time pass."""
        self.now += seconds
        self.told += self.limit.advance(now=self.now)

    @property
    def kinds(self):
        return [transition.kind for transition in self.told]


TUNINGS = st.fixed_dictionaries(
    {
        "multiplicative_decrease_factor": st.floats(0.1, 0.99),
        "additive_increase_step": st.integers(1, 4),
        "successes_until_increase": st.integers(1, 5),
        "startup_ramp_seconds": st.sampled_from((0.0, 0.0, 3.0)),
    }
)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take")),
        st.tuples(st.just("fill")),
        st.tuples(st.just("advance"), st.floats(0.0, 2.0)),
        st.tuples(
            st.just("return"),
            st.integers(0, 20),
            st.sampled_from(("success", "success", "success", "rate_limited", *IGNORED)),
            st.sampled_from((0.1, 0.2, 1.0, 5.0, None)),
            st.booleans(),
        ),
        st.tuples(st.just("succeed"), st.integers(1, 40), st.sampled_from((0.1, 0.3, 2.0))),
    ),
    max_size=60,
)


def play(driver, steps):
    """Take random steps; yield each with the limit before it and what the limit told."""
    for step in steps:
        before, known = driver.limit.current, len(driver.told)
        match step:
            case ("take",):
                driver.take()
            case ("fill",):
                driver.fill()
            case ("advance", seconds):
                driver.advance(seconds)
            case ("succeed", times, seconds):
                driver.succeed(times, seconds=seconds)
            case ("return", which, kind, seconds, cooling) if driver.out:
                lease = driver.out[which % len(driver.out)]
                driver.give_back(lease, kind, seconds=seconds, cooling=cooling)
        yield step, before, driver.told[known:]


def assert_told_right(driver, before, told):
    """Assert that what was told leads from `before` to the present limit, inside the bounds."""
    limit = driver.limit
    assert 1 <= limit.current <= limit.effective_max
    for transition in told:
        if transition.kind in (DECREASED, INCREASED):
            assert transition.before == before != transition.after
            assert (transition.after > before) == (transition.kind == INCREASED)
            before = transition.after
        else:
            assert transition.after == before, "a recovery is told of the growth it came with"
    assert limit.current == before


def run_against(limit, steps, *, until, when_full="refuse", jitter=0.2, clients=64, seed=1):
    """Let a population of clients use `limit` against a server; return who decided, and what came of it."""
    server = VirtualServer(steps, when_full=when_full, jitter=jitter, seed=seed)
    controller = LimitAlone(limit)
    course = simulate(controller, server, clients=clients, until=until)
    assert course.left == 0
    return controller, course
