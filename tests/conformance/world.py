"""What the published examples speak of: for each of their ids a thing of this account that it can stand for."""

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, TypeAlias

from tests.support import bodies
from tests.support.clients import NEWEST, Account, Json, success

Parameters: TypeAlias = dict[str, str]


_numbers = count(1)


class World:
    """Makes the things that operations are about, each time new ones."""

    def __init__(self, account: Account, user_id: str) -> None:
        self.account = account
        self.client = account.client
        self._user_id = user_id

    async def customer(self) -> str:
        """The id of a customer with a second contact, so that either can go."""
        contacts = [bodies.contact(), bodies.contact("second@example.com", "PRIMARY", "Second")]
        return (await self.client.create(bodies.newest(contacts=contacts)))["id"]

    async def alias(self) -> Json:
        """An alias of a customer."""
        body = {"customerId": await self.customer(), "value": f"world-{next(_numbers)}", "label": "made"}
        return success(await self.client.post("/customer-aliases", version=NEWEST, json=body), 201)

    async def contact(self) -> Parameters:
        """A contact and its customer."""
        customer = await self.customer()
        contacts = success(await self.client.get(f"/customers/{customer}/contacts", version=NEWEST))["items"]
        return {"customer": customer, "id": contacts[1]["id"]}

    async def organization(self) -> str:
        """The id of an organisation with a member."""
        body = {"ownerId": await self.customer(), "memberIds": [await self.customer()]}
        return success(await self.client.post("/customer-organizations", version=NEWEST, json=body), 201)["id"]

    async def tax_registration(self, of: str) -> Json:
        """A tax registration of a customer or of the merchant."""
        holder = await self.customer() if of == "customerId" else str(self.account.id)
        body = {"taxIdentifier": "GB123456789", "country": "GB", of: holder}
        return success(await self.client.post("/tax-registrations", version=NEWEST, json=body), 201)

    async def payment_settings(self) -> str:
        """The id of a customer's payment settings."""
        body = {"customerId": await self.customer(), "paymentProvider": "STRIPE"}
        return success(await self.client.post("/payments/settings/customers", version=NEWEST, json=body), 201)["id"]

    async def policy(self) -> str:
        """The id of a notification policy with two types and two recipients, of the kind that the examples add."""
        body = {
            "name": "Made",
            "channel": "EMAIL",
            "notificationTypes": ["CUSTOMER_CREATED", "CUSTOMER_UPDATED"],
            "recipients": ["one@example.com", "two@example.com"],
        }
        return success(await self.client.post("/notifications/policies", version=NEWEST, json=body), 201)["id"]

    async def activity(self) -> str:
        """The id of an entry of the activity log."""
        await self.customer()
        return success(await self.client.get("/activity-logs", version=NEWEST))["items"][0]["id"]

    async def parameters(self, path: str) -> Parameters:
        """Values for the parameters of a published path; the first prefix that fits counts."""
        makers: dict[str, Callable[[], Awaitable[Parameters]]] = {
            "/customers/by-alias/{": self._of_alias_value,
            "/customers/{customer}/contacts/{": self.contact,
            "/customers/{customer}/contacts": self._of_customer,
            "/tax-registrations/for-customer/{": self._of_taxed_customer,
            "/tax-registrations/for-merchant/{": self._of_taxed_merchant,
            "/notifications/policies/{": self._of_policy,
        }
        for prefix, make in makers.items():
            if path.startswith(prefix):
                return await make()
        ids: dict[str, Callable[[], Awaitable[str]]] = {
            "/customers/{": self.customer,
            "/customer-aliases/{": self._alias_id,
            "/customer-organizations/{": self.organization,
            "/tax-registrations/{": self._registration_id,
            "/customer-settings/{": self.payment_settings,
            "/payments/settings/customers/{": self.payment_settings,
            "/activity-logs/{": self.activity,
            "/sequence-accounts/{": self._own_id,
            "/users/{": self._user,
        }
        return {"id": await make_id()} if (make_id := _of_prefix(ids, path)) else {}

    async def _of_alias_value(self) -> Parameters:
        return {"alias": (await self.alias())["value"]}

    async def _of_customer(self) -> Parameters:
        return {"customer": await self.customer()}

    async def _of_taxed_customer(self) -> Parameters:
        return {"id": (await self.tax_registration("customerId"))["customerId"]}

    async def _of_taxed_merchant(self) -> Parameters:
        return {"id": (await self.tax_registration("merchantId"))["merchantId"]}

    async def _of_policy(self) -> Parameters:
        return {"id": await self.policy(), "type": "CUSTOMER_CREATED", "recipient": "one%40example.com"}

    async def _alias_id(self) -> str:
        return (await self.alias())["id"]

    async def _registration_id(self) -> str:
        return (await self.tax_registration("customerId"))["id"]

    async def _own_id(self) -> str:
        return str(self.account.id)

    async def _user(self) -> str:
        return self._user_id

    async def adapted(self, path: str, example: Json) -> Json:
        """A published example with ids that exist and aliases that are free; everything else as it was published."""
        body: dict[str, Any] = dict(example)
        if "customerAliases" in body:
            body["customerAliases"] = [f"{alias}-{next(_numbers)}" for alias in body["customerAliases"]]
        if path == "/customer-aliases" and "value" in body:
            body["value"] = f"{body['value']}-{next(_numbers)}"
        for name in ("parentId", "customerId", "ownerId"):
            if name in body and body[name] is not None:
                body[name] = await self.customer()
        for name in ("memberIds", "members", "customerIds"):
            if name in body:
                body[name] = [await self.customer() for _ in body[name]]
        for name in ("sequenceAccountId", "merchantId"):
            if name in body and body[name] is not None:
                body[name] = str(self.account.id)
        if "sequenceAccountIds" in body:
            body["sequenceAccountIds"] = [str(self.account.id)]
        return body


def _of_prefix(ids: dict[str, Callable[[], Awaitable[str]]], path: str) -> Callable[[], Awaitable[str]] | None:
    return next((make for prefix, make in ids.items() if path.startswith(prefix)), None)
