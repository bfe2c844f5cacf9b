"""The answers of a failed try's model calls, as its task's next try finds them (R14)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.worker.kept_answers import Answers
from actors.worker.providers.base import ChatMessage, ChatReply, ChatRequest, EmbeddingReply, Usage
from messages.tasks import KeptAnswer


def a_call(text, **parameters):
    request = ChatRequest(
        model="m", messages=(ChatMessage("user", text),), seed=1, parameters=parameters or {"top_p": 1}
    )
    return ("writer", "chat", request)


def next_try(answers):
    return Answers(answers.kept())


def test_r14_the_next_try_is_given_what_the_last_one_was_answered():
    answers = Answers()
    answers.note(a_call("a"), ChatReply("A", Usage(3, 5)))
    again = next_try(answers)
    assert again.take(a_call("b"), ChatReply) is None
    assert again.take(a_call("a"), ChatReply) == ChatReply("A", Usage(3, 5))
    assert again.take(a_call("a"), ChatReply) is None, "it answers one call"


def test_r14_what_was_given_is_kept_with_what_is_new_for_the_try_after_it():
    answers = Answers()
    answers.note(a_call("a"), ChatReply("A"))
    second = next_try(answers)
    second.take(a_call("a"), ChatReply)
    second.note(a_call("b"), ChatReply("B"))
    third = next_try(second)
    assert [third.take(a_call(text), ChatReply) for text in "ab"] == [ChatReply("A"), ChatReply("B")]


def test_r14_equal_calls_have_answers_of_their_own_in_the_order_in_which_they_came():
    answers = Answers()
    for text in ("first", "second"):
        answers.note(a_call("again"), ChatReply(text))
    again = next_try(answers)
    found = [again.take(a_call("again"), ChatReply) for _ in range(3)]
    assert found == [ChatReply("first"), ChatReply("second"), None]


def test_another_model_another_parameter_or_another_domain_is_another_call():
    alias, domain, request = a_call("a")
    answers = Answers()
    answers.note((alias, domain, request), ChatReply("A"))
    again = next_try(answers)
    others = [("judge", domain, request), (alias, "image", request), a_call("a", top_p=2)]
    assert [again.take(other, ChatReply) for other in others] == [None] * 3


def test_what_a_try_did_not_come_to_is_kept_but_does_not_pile_up():
    answers = Answers()
    for number in range(200):  # a function that asks something else in every try
        answers = next_try(answers)
        answers.note(a_call(f"at random {number}"), ChatReply("yes"))
    kept = answers.kept()
    assert len(kept) == 65
    assert Answers(kept).take(a_call("at random 198"), ChatReply) == ChatReply("yes"), "the latest are kept"


def test_a_vector_is_kept_as_it_is():
    answers = Answers()
    answers.note(("writer", "embedding", 7), EmbeddingReply([1.0, 2.5]))
    assert next_try(answers).take(("writer", "embedding", 7), EmbeddingReply) == EmbeddingReply([1.0, 2.5])


def test_what_cannot_be_written_down_is_not_kept_and_harms_nothing():
    answers = Answers()
    answers.note(a_call("a", odd=object()), ChatReply("A"))
    answers.note(a_call("b"), ChatReply(object()))
    assert answers.kept() == ()
    answers = Answers([KeptAnswer("0" * 32, b"")])
    assert answers.take(a_call("a", odd=object()), ChatReply) is None


def test_what_cannot_be_read_again_is_asked_again():
    answers = Answers()
    answers.note(a_call("a"), EmbeddingReply([1.0]))
    assert next_try(answers).take(a_call("a"), ChatReply) is None


@given(st.lists(st.sampled_from("abc")), st.lists(st.integers(0, 6), max_size=8))
def test_r14_no_call_is_made_twice_however_often_a_try_is_cut_off(calls, cuts):
    made = []
    answers = Answers()
    for cut in [*cuts, len(calls)]:
        answers = next_try(answers)
        for text in calls[:cut]:
            if answers.take(a_call(text), ChatReply) is None:
                made.append(text)
                answers.note(a_call(text), ChatReply(text))
    assert sorted(made) == sorted(calls)
