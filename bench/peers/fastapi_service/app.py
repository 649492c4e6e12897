"""The endpoints. `uvicorn bench.peers.fastapi_service.app:app` serves them."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, HTTPException, Query, status
from sqlalchemy.exc import IntegrityError

from bench.peers.fastapi_service import bodies, customers, tables
from bench.peers.fastapi_service.auth import AccountId
from bench.peers.fastapi_service.database import Session, lifespan

app = FastAPI(title="Customers", lifespan=lifespan)


@app.get("/ready", include_in_schema=False)
async def ready() -> dict[str, str]:
    """That it answers."""
    return {"status": "ready"}


@app.post(
    "/api/customers",
    status_code=status.HTTP_201_CREATED,
    response_model=bodies.Customer,
    response_model_exclude_none=True,
)
async def create_customer(given: bodies.NewCustomer, account_id: AccountId, session: Session) -> tables.Customer:
    """Create a customer."""
    try:
        return await customers.create(session, account_id, given)
    except IntegrityError as error:
        raise HTTPException(status.HTTP_409_CONFLICT, "An alias or an integration id is taken.") from error


@app.get("/api/customers/{customer_id}", response_model=bodies.Customer, response_model_exclude_none=True)
async def read_customer(customer_id: UUID, account_id: AccountId, session: Session) -> tables.Customer:
    """Read a customer."""
    customer = await customers.read(session, account_id, customer_id)
    if customer is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such customer.")
    return customer


@app.get("/api/customers", response_model=bodies.CustomerPage, response_model_exclude_none=True)
async def list_customers(
    account_id: AccountId,
    session: Session,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: str | None = None,
) -> dict[str, object]:
    """List customers, the newest first."""
    # One more than wanted tells whether there is another page.
    found = await customers.page(session, account_id, limit + 1, _position(after) if after else None)
    shown = found[:limit]
    last = _cursor(shown[-1]) if len(found) > limit else None
    total = await customers.count(session, account_id)
    return {"items": shown, "pagination": {"after": last, "total_result_size": total}}


def _cursor(customer: tables.Customer) -> str:
    return urlsafe_b64encode(f"{customer.created_at.isoformat()} {customer.id}".encode()).decode()


def _position(cursor: str) -> tuple[datetime, UUID]:
    try:
        created_at, _, customer_id = urlsafe_b64decode(cursor).decode().partition(" ")
        return datetime.fromisoformat(created_at), UUID(customer_id)
    except ValueError as error:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "This cursor was not made for this list.") from error
