// Receives webhooks of Customary and takes each event once. It needs nothing but Node.js:
//
//     WEBHOOK_SECRET=whsec_... node receiver.ts 9000
//
// Node.js before 22.18 does not run TypeScript: `npm install && npx tsc`, then run built/receiver.js.
// While a secret is being rotated, WEBHOOK_SECRET holds the old and the new one with a comma between.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";

const LARGEST_BODY_BYTES = 10 * 1024 * 1024;

// --- Copy from here ----------------------------------------------------------------------------------------

const TOLERANCE_SECONDS = 300;

/** Nobody who knows the secret sent this now, or somebody changed it on the way. */
class NotGenuine extends Error {}

/**
 * Check both signatures of a webhook; throws NotGenuine.
 *
 * `body` is what came, byte for byte: JSON that was read and written again has another signature.
 */
function verify(headers: IncomingHttpHeaders, body: Buffer, secrets: string[]): void {
  verifySequenceSignature(String(headers["sequence-signature"] ?? ""), body, secrets);
  verifyStandardSignature(headers, body, secrets);
}

/** Check `t=<milliseconds>,s=<hex>`, which has an `s` for each live secret. The key is the whole secret. */
function verifySequenceSignature(header: string, body: Buffer, secrets: string[]): void {
  const fields = header.split(",").map((part) => part.trim());
  const milliseconds = fields.find((field) => field.startsWith("t="))?.slice(2) ?? "";
  requireRecent(milliseconds, 1000, "Sequence-Signature");
  const expected = secrets.map(
    (secret) => "s=" + createHmac("sha256", secret).update(`${milliseconds}.`).update(body).digest("hex"),
  );
  requireMatch(expected, fields, "Sequence-Signature");
}

/** Check `v1,<base64>`, of which there is one for each live secret. The key is the base64 behind `whsec_`. */
function verifyStandardSignature(headers: IncomingHttpHeaders, body: Buffer, secrets: string[]): void {
  const seconds = String(headers["webhook-timestamp"] ?? "");
  requireRecent(seconds, 1, "webhook-timestamp");
  const expected = secrets.map((secret) => {
    const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
    const content = createHmac("sha256", key).update(`${String(headers["webhook-id"])}.${seconds}.`).update(body);
    return "v1," + content.digest("base64");
  });
  requireMatch(expected, String(headers["webhook-signature"] ?? "").split(" "), "webhook-signature");
}

/** A webhook that somebody recorded cannot be sent again later, since its time is signed too. */
function requireRecent(timestamp: string, unitsInASecond: number, header: string): void {
  if (!/^[0-9]{1,15}$/.test(timestamp)) throw new NotGenuine(`${header} is missing, or has no time in it`);
  if (Math.abs(Date.now() / 1000 - Number(timestamp) / unitsInASecond) > TOLERANCE_SECONDS) {
    throw new NotGenuine(`${header} is too old, or a clock is wrong`);
  }
}

/** Any of them may match. The comparison takes as long for a near miss as for any other, and so gives no hints. */
function requireMatch(expected: string[], given: string[], header: string): void {
  const isSame = (ours: Buffer, theirs: Buffer) => ours.length === theirs.length && timingSafeEqual(ours, theirs);
  if (!expected.some((ours) => given.some((theirs) => isSame(Buffer.from(ours), Buffer.from(theirs))))) {
    throw new NotGenuine(`${header} has no signature that fits the body and the secret`);
  }
}

// --- to here -----------------------------------------------------------------------------------------------

// What was taken. Of yours make two tables, written in the transaction that does the work of an event.
const seen = new Set<string>();
const versions = new Map<string, number>();

/** What to do about this: it is an `event`, came `again`, or tells something `older` than is known. */
function verdictOn(webhookId: string, customerId: string, version: number): string {
  if (seen.has(webhookId)) return "again";
  seen.add(webhookId);
  if (version < (versions.get(customerId) ?? 0)) return "older";
  versions.set(customerId, version);
  return "event";
}

/** Do what is to be done about an event: here, print a line. */
function take(headers: IncomingHttpHeaders, event: { notificationType: string; resourceId: string }): void {
  const webhookId = String(headers["webhook-id"]);
  const version = headers["customary-resource-version"];
  if (version === undefined) {
    console.log(`test: ${event.notificationType} ${webhookId}`); // nothing happened to anybody
    return;
  }
  const verdict = verdictOn(webhookId, event.resourceId, Number(version));
  console.log(`${verdict}: ${event.notificationType} ${event.resourceId} version ${version} ${webhookId}`);
}

/** Read a body to its end; undefined for one that is too large. */
async function read(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > LARGEST_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Answer 204 for what was taken, now or before, and 401 for what is not genuine. */
async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== "POST") return void response.writeHead(405, { Allow: "POST" }).end();
  const body = await read(request);
  if (body === undefined) return void response.writeHead(413, { Connection: "close" }).end();
  try {
    verify(request.headers, body, secrets);
  } catch (problem) {
    if (!(problem instanceof NotGenuine)) throw problem;
    console.log(`refused: ${problem.message}`);
    return void response.writeHead(401).end(problem.message); // Customary's log of the attempt shows it
  }
  take(request.headers, JSON.parse(body.toString("utf-8")));
  response.writeHead(204).end();
}

const secrets = (process.env.WEBHOOK_SECRET ?? "").split(",").map((each) => each.trim()).filter((each) => each !== "");
const port = Number(process.argv[2]);
if (!Number.isInteger(port) || secrets.length === 0 || !secrets.every((secret) => secret.startsWith("whsec_"))) {
  console.error("Use: WEBHOOK_SECRET=whsec_...[,whsec_...] node receiver.ts PORT");
  process.exit(1);
}
const server = createServer({ requestTimeout: 15_000 }, (request, response) => {
  receive(request, response).catch(() => response.destroy()); // whoever sent it tries again
});
server.listen(port, "127.0.0.1", () => console.log(`Listening on http://127.0.0.1:${port}`));
