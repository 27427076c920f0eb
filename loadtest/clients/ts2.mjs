// The official TypeScript client, 2.x: both eras.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { play } from "./play.mjs";

const [url, token, mode, script] = process.argv.slice(2);
const client = new Client({ name: "ts2", version: "1.0.0" }, { versionNegotiation: { mode } });
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { Authorization: `Bearer ${token}` } },
});
await client.connect(transport);
const version = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion;
await play(client, version, JSON.parse(script));
await client.close();
