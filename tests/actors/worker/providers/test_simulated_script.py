"""The embedded provider in trouble: capacity, refusals, outages and failures, as the script says."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.worker.providers.base import ChatMessage, ChatRequest, ProviderError
from actors.worker.providers.simulated import SimulatedClient
from bench.virtual.event_loop import run_virtually
from messages.job import Latency, ScriptStep, SimulatedProvider


def asked(number=0):
    return ChatRequest(model="m", messages=(ChatMessage("user", f"prompt {number}"),), seed=number)


def a_client(*script, mean=1000.0, seed=0, **how):
    """Return a client of one-second calls, whose job began when the loop did."""
    config = SimulatedProvider(latency_ms=Latency(mean=mean), script=script, **how)
    return SimulatedClient(config, seed=seed, elapsed=asyncio.get_running_loop().time)


async def ended(client, number=0):
    """Return how a call ended: when, and with what."""
    try:
        await client.chat(asked(number))
    except ProviderError as error:
        what = error.status
    else:
        what = "reply"
    return asyncio.get_running_loop().time(), what


def at_once(client, calls):
    return asyncio.gather(*(ended(client, number) for number in range(calls)))


def test_calls_beyond_the_capacity_are_refused_soon():
    async def run():
        client = a_client(ScriptStep(capacity=2, retry_after=1.5))
        calls = await at_once(client, 5)
        refused = await asyncio.gather(*(client.chat(asked(n)) for n in range(3)), return_exceptions=True)
        return calls, refused[2]

    calls, error = run_virtually(run())
    assert Counter(what for _, what in calls) == {"reply": 2, 429: 3}
    assert [when for when, what in calls if what == 429] == [pytest.approx(0.1)] * 3
    assert (error.status, error.retry_after_seconds, error.sent) == (429, 1.5, True)


def test_a_refusal_may_ask_for_nothing():
    async def run():
        client = a_client(ScriptStep(capacity=0))
        with pytest.raises(ProviderError) as caught:
            await client.chat(asked())
        return caught.value

    assert run_virtually(run()).retry_after_seconds is None


def test_without_a_script_nobody_is_refused():
    async def run():
        return await at_once(a_client(), 500)

    assert {what for _, what in run_virtually(run())} == {"reply"}


def test_the_capacity_changes_with_time():
    async def run():
        client, found = a_client(ScriptStep(capacity=3), ScriptStep(at=5, capacity=1), repeat_seconds=10), []
        for _ in range(4):
            found.append([what for _, what in await at_once(client, 4)].count("reply"))
            await asyncio.sleep(4)
        return found

    assert run_virtually(run()) == [3, 1, 3, 1]


def test_a_server_that_queues_refuses_nobody_and_serves_in_order():
    async def run():
        return await at_once(a_client(ScriptStep(capacity=2), when_full="queue"), 6)

    assert run_virtually(run()) == [(1, "reply")] * 2 + [(2, "reply")] * 2 + [(3, "reply")] * 2


def test_a_queue_moves_on_when_the_capacity_grows():
    async def run():
        client = a_client(ScriptStep(capacity=0), ScriptStep(at=7, capacity=4), when_full="queue")
        return await at_once(client, 4)

    assert run_virtually(run()) == [(pytest.approx(8), "reply")] * 4


def test_a_queue_moves_along_a_slow_start():
    async def run():
        script = ScriptStep(at=0, capacity=0), ScriptStep(at=1, capacity=3, ramp_seconds=30)
        return await at_once(a_client(*script, when_full="queue", mean=1_000_000.0), 3)

    assert [round(when) for when, _ in run_virtually(run())] == [1011, 1021, 1031]


def test_a11_a_call_that_is_cancelled_gives_its_place_back_at_once():
    async def run():
        client = a_client(ScriptStep(capacity=1), when_full="queue")
        served, queued, last = (asyncio.create_task(ended(client, n)) for n in range(3))
        await asyncio.sleep(0.5)
        queued.cancel()
        served.cancel()
        return await last

    assert run_virtually(run()) == (1.5, "reply")


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=30), st.data())
def test_a11_no_place_is_lost_whoever_gives_up_when(moves, data):
    """After calls that come, wait, are served and give up in any order, all places are free."""

    async def run():
        client = a_client(ScriptStep(capacity=3), when_full="queue")
        calls = []
        for pause, cancel in moves:
            calls.append(asyncio.create_task(ended(client, len(calls))))
            if cancel:
                calls[data.draw(st.integers(0, len(calls) - 1))].cancel()
            await asyncio.sleep(pause / 10)
        await asyncio.gather(*calls, return_exceptions=True)
        begin = asyncio.get_running_loop().time()
        return [when - begin for when, _ in await at_once(client, 4)]

    microseconds = pytest.approx([1, 1, 1, 2], abs=1e-5)  # the clock's, which go by whole ones
    assert run_virtually(run()) == microseconds


def test_during_an_outage_nothing_can_be_reached():
    async def run():
        client = a_client(ScriptStep(at=2, outage=3))
        before = await ended(client)
        await client.healthcheck("m")
        await asyncio.sleep(1)
        with pytest.raises(ProviderError) as caught:
            await client.chat(asked())
        with pytest.raises(ProviderError, match="cannot be reached"):
            await client.healthcheck("m")
        await asyncio.sleep(3)
        return before, caught.value, await ended(client)

    before, error, after = run_virtually(run())
    assert (before[1], after[1]) == ("reply", "reply")
    assert (error.status, error.sent) == (None, False), "a refused connection has sent nothing"


def test_a_health_check_before_the_start_sees_the_first_step():
    client = SimulatedClient(SimulatedProvider(script=(ScriptStep(outage=1),)))
    with pytest.raises(ProviderError, match="cannot be reached"):
        asyncio.run(client.healthcheck("m"))


@pytest.mark.parametrize(
    ("step", "status", "seconds"),
    [
        (ScriptStep(error_rate=1), 500, 1.0),
        (ScriptStep(refuse_rate=1), 429, 0.1),
        (ScriptStep(reset_rate=1), None, 0.5),
        (ScriptStep(error_rate=1, latency_factor=3), 500, 3.0),
    ],
)
def test_a_rate_of_one_is_every_call(step, status, seconds):
    async def run():
        return await at_once(a_client(step), 3)

    assert run_virtually(run()) == [(pytest.approx(seconds), status)] * 3


def test_a11_a_call_that_hangs_ends_by_being_cancelled_and_frees_its_place():
    async def run():
        client = a_client(ScriptStep(hang_rate=1, capacity=1), ScriptStep(at=50, hang_rate=0))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.chat(asked()), timeout=100)
        return await ended(client)

    assert run_virtually(run()) == (101, "reply")


def test_the_rates_share_the_calls_among_them():
    async def run():
        client = a_client(ScriptStep(error_rate=0.2, refuse_rate=0.3, reset_rate=0.1))
        return Counter(what for _, what in await at_once(client, 2000))

    counts = run_virtually(run())
    assert counts["reply"] == pytest.approx(800, abs=120)
    assert counts[500] == pytest.approx(400, abs=100)
    assert counts[429] == pytest.approx(600, abs=110)
    assert counts[None] == pytest.approx(200, abs=80)


def tries_of_each(requests, *, seed=0, together=True, capacity=None, order=None):
    """Return how each request's tries ended, up to the first reply; refusals for lack of room left out."""

    async def until_a_reply(client, number, found):
        while not found[number] or found[number][-1] != "reply":
            _, what = await ended(client, number)
            found[number] += [what] if what != 429 else []

    async def run():
        client = a_client(
            ScriptStep(error_rate=0.4, reset_rate=0.2, capacity=capacity, retry_after=1), seed=seed
        )
        found = {number: [] for number in range(requests)}
        numbers = list(order or found)
        if together:
            await asyncio.gather(*(until_a_reply(client, number, found) for number in numbers))
        else:
            for number in numbers:
                await until_a_reply(client, number, found)
        return found

    return run_virtually(run())


def test_r12_the_same_tries_fail_whatever_the_interleaving():
    alone = tries_of_each(20, together=False)
    assert alone == tries_of_each(20) == tries_of_each(20, order=range(19, -1, -1), capacity=3)
    assert len({tuple(tries) for tries in alone.values()}) > 3, "not all requests fare alike"
    assert any(len(tries) > 2 for tries in alone.values())


def test_r12_another_seed_makes_other_tries_fail():
    assert tries_of_each(20) != tries_of_each(20, seed=1)


def test_what_is_remembered_is_what_has_failed_and_not_succeeded_since():
    """Once a request has had its reply, it fares as if it were new."""

    async def run():
        client, found = a_client(ScriptStep(error_rate=0.5)), []
        for _ in range(2):
            tries = []
            while not tries or tries[-1] != "reply":
                tries.append((await ended(client, 4))[1])
            found.append(tries)
        return found

    first, second = run_virtually(run())
    assert first == second
