// The official TypeScript client, 1.x: MCP up to 2025-11-25.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { play } from "./play.mjs";

const [url, token, _mode, script] = process.argv.slice(2);
const client = new Client({ name: "ts1", version: "1.0.0" });
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { Authorization: `Bearer ${token}` } },
});
await client.connect(transport);
const version = transport.protocolVersion;
await play(client, version, JSON.parse(script));
await transport.terminateSession();
await client.close();
