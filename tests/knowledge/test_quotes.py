"""What is quoted of a document."""

from knowledge.extraction import Source, choose_parts
from knowledge.quotes import Quote, list_quotes, split_sentences
from knowledge.search import Hit
from ontology.ids import new_id

TABLE = """Every parcel has a class. It may be this heavy.

| Class | Weight | Price |
|---|---|---|
| Standard | 15 kg | 6.40 |
| Bulky | 31.5 kg | |

| Limit | At most |
|---|---|
| Size of an upload | 10 MB |
| Name ![](https://elsewhere.example/x.png) | 500 characters |
"""


def test_a_row_of_a_table_is_quoted_with_the_names_of_its_columns() -> None:
    passage = (
        "It may be this heavy. Class Weight Price Standard 15 kg 6.40 Bulky 31.5 kg Size of an upload 10 MB Name x"
    )
    quotes = list_quotes(TABLE, "markdown", "Sizes", passage, of_platform=False)
    assert [quote.text for quote in quotes] == [
        "It may be this heavy.",
        "Standard; Weight: 15 kg; Price: 6.40",
        "Bulky; Weight: 31.5 kg",
        "Size of an upload: 10 MB",
    ]


def test_sentences_end_in_every_script() -> None:
    assert split_sentences("返品できます。到着日は含まれません。") == ["返品できます。", "到着日は含まれません。"]
    assert split_sentences("Das ist so. Über Nacht. klein") == ["Das ist so.", "Über Nacht. klein"]
    assert split_sentences("هل يصل؟ نعم يصل. غدا") == ["هل يصل؟", "نعم يصل.", "غدا"]


def test_of_rows_the_one_that_the_question_names_is_quoted() -> None:
    hit = Hit(kind="page", document_id=new_id(), title="Sizes", heading_path=[], text="", highlights=[], score=1.0)
    rows = [f"{name}; Weight: {kg} kg; Price: 6" for name, kg in (("Standard", 15), ("Bulky", 31), ("Freight", 400))]
    quotes = tuple(Quote(place, text, is_row=True) for place, text in enumerate(rows))
    (part,) = choose_parts("price of a bulky parcel", [Source(1, hit, quotes)], [0.5, 0.5, 0.7])
    assert part.text == rows[1]
