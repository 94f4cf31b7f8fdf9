"""Tests mirror the floors; `acceptance/` holds journeys and `contracts/` the project's own rules."""
