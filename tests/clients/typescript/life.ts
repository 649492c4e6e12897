// The whole life of a customer, through types that a standard generator made from the published documents.
//
//     node life.js BASE_URL AUTHORIZATION
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths as Newest } from "./v20240730.js";
import type { paths as Oldest } from "./v20240101.js";

const [baseUrl, authorization] = process.argv.slice(2) as [string, string];
const header = { Authorization: authorization };
const newest = createClient<Newest>({ baseUrl });
const oldest = createClient<Oldest>({ baseUrl, headers: { "Sequence-Version": "2024-01-01" } });
const address = { line1: "1 Rue d'Ulm", town: "Paris", postcode: "75005", country: "FR" } as const;

const created = await oldest.POST("/customers", {
  params: { header },
  body: {
    legalName: "Éditions TypeScript",
    address,
    email: "ada@example.com",
    billingEmails: ["billing@example.com"],
    customerAliases: ["crm-typescript"],
    externalIds: [{ key: "Stripe", value: "cus_TypeScript" }],
  },
});
assert.equal(created.response.status, 201, JSON.stringify(created.error));
const id = created.data!.customer.id;

const read = await newest.GET("/customers/{id}", { params: { header, path: { id } } });
assert.deepEqual(
  read.data!.contacts.map((contact) => [contact.email, contact.billingPreference]),
  [["ada@example.com", "PRIMARY"], ["billing@example.com", "STANDARD"]],
);

const updated = await newest.PUT("/customers/{id}", {
  params: { header, path: { id } },
  body: {
    legalName: "Éditions TypeScript SA",
    address,
    taxStatus: "TAXED",
    contacts: [{ name: "Ada", email: "ada@example.com", billingPreference: "PRIMARY" }],
    customProperties: { tier: "gold" },
  },
});
assert.equal(updated.data!.integrationIds[0]!.id, "cus_TypeScript");

const byAlias = await newest.GET("/customers/by-alias/{alias}", {
  params: { header, path: { alias: "crm-typescript" } },
});
assert.equal(byAlias.data!.legalName, "Éditions TypeScript SA");

const listed = await newest.GET("/customers", { params: { header, query: { legalName: "editions", limit: 1 } } });
assert.equal(listed.data!.pagination.totalResultSize, 1);
assert.equal(listed.data!.items[0]!.id, id);

const archived = await oldest.DELETE("/customers/{id}", { params: { header, path: { id } } });
assert.ok(archived.data!.archivedAt);
const missing = await newest.GET("/customers/{id}", { params: { header, path: { id: "nobody" } } });
assert.equal(missing.response.status, 404);
console.log("alive and archived");
