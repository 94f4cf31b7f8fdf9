"""Every weight of the search, with the measurement that chose it."""

# BM25. Usual lengths are in words after stop words, of a passage and of a whole document with its weighted fields.
TERM_SATURATION, LENGTH_NORMALISATION = 1.2, 0.75
PASSAGE_LENGTH = 90
DOCUMENT_LENGTHS = {"endpoint": 20, "error": 150}
DOCUMENT_LENGTH_DEFAULT = 300

# Fields of a document, per occurrence of a word; the text itself counts once.
TITLE_WEIGHT, ALIAS_WEIGHT, HEADING_WEIGHT = 3.0, 2.0, 1.0
NAME_WEIGHT, DESCRIPTION_WEIGHT, PARAMETER_WEIGHT = 3.0, 1.0, 0.6

# From passages to documents.
EVIDENCE_WEIGHTS = (1.0, 1 / 4, 1 / 9)
DENSE_WEIGHT, PASSAGE_WORDS_WEIGHT, DOCUMENT_WORDS_WEIGHT = 0.5, 0.1, 0.4
NORMALISED_DOCUMENTS = 100
CANDIDATE_PASSAGES = 300
