"""Every weight of the search, with the measurement that chose it.

Measured by ``make eval`` on the shared development sets (nDCG@10 of toolalpaca-real, toolalpaca-sim, stabletoolbench;
MRR@10 of nextjs-, pydantic-, pylint-errors). What is said of prose was measured beforehand on other collections.
They are here, apart from the code, because the index, the indexing and the ranking all need them.
"""

# BM25. Usual lengths are in words after stop words, of a passage and of a whole document with its weighted fields.
# An endpoint is short: 20 instead of 40 brings keyword search on stabletoolbench from .674 to .709, others unmoved.
TERM_SATURATION, LENGTH_NORMALISATION = 1.2, 0.75
PASSAGE_LENGTH = 90
DOCUMENT_LENGTHS = {"endpoint": 20, "error": 150}
DOCUMENT_LENGTH_DEFAULT = 300

# What a specification says of an operation's tag counts as a field and twice in the mean vector: tasks over our own
# operations went from .408 to .458, collections without such words unmoved. Other words for the verb of its name at .6:
# to .527, toolalpaca-real from .938 to .944, -sim unmoved, stabletoolbench from .701 to .696.
ABOUT_WEIGHT, SYNONYM_WEIGHT = 1.0, 0.6

# Fields of a document, per occurrence of a word; the text itself counts once. Parameters at .6 instead of .3 bring
# keyword search on stabletoolbench from .709 to .718; names at 2.5, 3 or 4 are within .003 of each other.
TITLE_WEIGHT, ALIAS_WEIGHT, HEADING_WEIGHT = 3.0, 2.0, 1.0
NAME_WEIGHT, DESCRIPTION_WEIGHT, PARAMETER_WEIGHT = 3.0, 1.0, 0.6

# From passages to documents: the two best passages of a page count 1 and 1/4. A third at 1/9 is within .001 everywhere
# but for own questions (-.004); the best alone loses .015 on dbt-faq and .008 on pydantic, five lose .005 on aks-faq.
# Of keyword search, whole documents with their fields deserve more than passages: .15/.35 is within .003 of .1/.4 and
# .2/.3 everywhere but for aks-faq (.547, .546, .546), toolalpaca-sim (.951, .946, .957) and -real (.951, .951, .947);
# .25/.25 loses .010 on aks-faq. Meaning at .55 or .6 gains up to .01 on our own sets and loses .01 to .02 on pylint.
# 200 candidates lose .004 on dbt-faq and aks-faq and .005 on Next.js, 100 lose .018 and .011; 500 lose .007 on aks-faq.
# Lists of words that have ended are scaled from 0 (`ranking.scale`): toolalpaca-real .944 to .952, -sim .935 to .942,
# own tasks .512 to .543, pydantic .735 to .740, the others within .003. Scaling by deviations instead of extremes gives
# the same there, and loses .004 to .030 on dbt-faq and pylint.
# What parameters and answers are described by, as words of an endpoint's passage: toolalpaca-sim .942 to .951, own
# tasks .531 to .561, stabletoolbench .694 to .700, -real .952 to .951. As weighted fields they lose .03 on own tasks.
EVIDENCE_WEIGHTS = (1.0, 1 / 4)
DENSE_WEIGHT, PASSAGE_WORDS_WEIGHT, DOCUMENT_WORDS_WEIGHT = 0.5, 0.15, 0.35
NORMALISED_DOCUMENTS = 100
CANDIDATE_PASSAGES = 300

# The cosine below which a query of rubbish has no answer. Every judged query has a word that some text has, and none is
# farther than .30 from its nearest passage; of 21 made-up ones 12 are. Real words are farther in small collections.
NEAR_ENOUGH = 0.3
