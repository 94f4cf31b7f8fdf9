"""The pages of the portal: handlers parse, call one rule, return."""

from portal.pages import (
    accounts,
    asking,
    crawlers,
    docs,
    documents,
    events,
    gallery,
    home,
    join,
    keys,
    members,
    reference,
    search,
    start,
    troubleshooting,
    usage,
)

page_handlers = [
    *home.handlers,
    *docs.handlers,
    *search.handlers,
    *asking.handlers,
    *troubleshooting.handlers,
    *reference.handlers,
    *accounts.handlers,
    *join.handlers,
    *keys.handlers,
    *events.handlers,
    *documents.handlers,
    *members.handlers,
    *start.handlers,
    *usage.handlers,
    *gallery.handlers,
    *crawlers.handlers,
]
