"""Typed ids: what goes out comes back, and nothing else comes in."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ontology.ids import ALPHABET, KINDS, SUFFIX_LENGTH, decode_id, encode_id, new_id

VALUES = st.integers(0, 2**128 - 1).map(lambda number: UUID(int=number))
ANY_KIND = st.sampled_from(KINDS)


@given(ANY_KIND, VALUES)
def test_an_id_comes_back_as_it_went_out(kind: str, value: UUID) -> None:
    text = encode_id(kind, value)
    assert decode_id(text) == decode_id(text, kind) == (kind, value)
    assert len(text) == len(kind) + 1 + SUFFIX_LENGTH


@given(VALUES, VALUES)
def test_texts_sort_as_their_values_do(first: UUID, second: UUID) -> None:
    assert (encode_id("thing", first) < encode_id("thing", second)) == (first < second)


@given(st.permutations(KINDS), VALUES)
def test_an_id_of_another_kind_is_refused_by_name(kinds: list[str], value: UUID) -> None:
    with pytest.raises(ValueError, match=f"`{kinds[0]}_`"):
        decode_id(encode_id(kinds[1], value), kinds[0])


@given(st.one_of(st.text(), ANY_KIND.flatmap(lambda kind: st.text().map(lambda rest: f"{kind}_{rest}"))))
def test_no_text_is_read_as_an_id_that_is_not_written_so(text: str) -> None:
    """One id has one spelling: what is accepted is exactly what would be written."""
    try:
        kind, value = decode_id(text)
    except ValueError:
        return
    assert encode_id(kind, value) == text


@pytest.mark.parametrize(
    "suffix",
    [
        "",
        "0" * 25,
        "0" * 27,
        "8" + "0" * 25,  # more than 128 bits
        "0" * 25 + "u",  # not in the alphabet
        "0" * 25 + "A",
        "0" * 25 + "٣",  # a digit, but not one of ours
        " " + "0" * 25,
    ],
)
def test_a_malformed_suffix_is_refused(suffix: str) -> None:
    with pytest.raises(ValueError, match="26 characters"):
        decode_id(f"thing_{suffix}")


def test_new_ids_rise_and_never_repeat_though_many_threads_make_them() -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: [new_id() for _ in range(500)], range(8)))
    for run in runs:
        assert run == sorted(run)
        assert {value.version for value in run} == {7}
    assert len({value for run in runs for value in run}) == 4_000


def test_the_alphabet_leaves_out_what_is_misread() -> None:
    assert len(ALPHABET) == 32
    assert not set("ilou") & set(ALPHABET)
