"""What has outlived its purpose goes; what is alive stays."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import text

from ontology.accounts import SESSION_LIFE, create_account, open_session
from ontology.database import open_transaction, run_sql
from ontology.idempotency import LIFE, describe_intent, keep_answer
from ontology.ids import new_id
from ontology.records import utc_now
from ontology.registration import Applicant
from ontology.settings import Settings
from tests.program import running_program
from worker.housekeeping import forget_expired


async def test_housekeeping_forgets_what_is_past_its_life_and_nothing_else(settings: Settings) -> None:
    now = utc_now()
    async with running_program(settings) as program:
        made = await program.register_fully(Applicant("Acme", "Ada", "ada@example.com"))
        actor = made.actor
        async with open_transaction(program.engine, actor) as session:
            await create_account(session, made.owner, "hash", now)
            for moment in (now, now - SESSION_LIFE - timedelta(seconds=1)):
                await open_session(session, made.owner, moment)
        caller = await program.register()
        for age in (timedelta(), LIFE + timedelta(seconds=1)):
            async with open_transaction(program.engine, caller.owner) as session:
                intent = describe_intent(f"key-{age}", "POST", "/v1/entities", b"", b"{}")
                keep_answer(
                    session,
                    replace(caller.owner, key_id=new_id()),
                    intent,
                    secret="s" * 32,
                    status=201,
                    media_type="application/json",
                    body=b"{}",
                    now=now - age,
                )
        await forget_expired(program.engine)
        async with open_transaction(program.engine, actor) as session:
            sessions = (await run_sql(session, text("SELECT count(*) FROM portal_sessions"))).scalar_one()
        async with open_transaction(program.engine, caller.owner) as session:
            answers = (await run_sql(session, text("SELECT count(*) FROM idempotency_records"))).scalar_one()
    assert (sessions, answers) == (1, 1)
