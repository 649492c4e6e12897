"""Changing what an account tells of its company."""

from uuid import UUID

from customary.domain import account as rules
from customary.domain.account import Company, CompanyWrite
from customary.domain.activity import ObjectType, Reference, Verb
from customary.operations.recording import record
from customary.storage import sequence_accounts
from customary.storage.database import Tx


async def update_company(tx: Tx, account_id: UUID | None, write: CompanyWrite) -> Company:
    """Change the company of the tenant's account; a write that changes nothing stores nothing. Raises `NotFound`."""
    before = await sequence_accounts.get_for_update(tx, account_id)
    company = rules.update_company(before, write)
    if company != before:
        await sequence_accounts.save(tx, company)
        thing = Reference(ObjectType.SEQUENCE_ACCOUNT, company.id)
        await record(tx, Verb.UPDATED, thing, before=before, after=company)
    return company
