// The client that the conformance suite runs in its client leg, with an edge in the middle: the suite's scenario server
// becomes a tool server, and all that the scenario asks of a client is asked of the edge. What the suite then sees and
// judges is the edge as a client.
//
//     client.mjs URL   (of the scenario's server, from the suite)
import { execFile } from "node:child_process";
import { createServer, connect as dial } from "node:net";
import { promisify } from "node:util";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const [serverUrl] = process.argv.slice(2);
const { EDGE, TOKEN, PROCTOR, PROCTOR_API_URL, PROCTOR_TENANT, PROCTOR_ADMIN_KEY } = process.env;
const { MCP_CONFORMANCE_SCENARIO: scenario, MCP_CONFORMANCE_PROTOCOL_VERSION: version } = process.env;
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? "{}");
const id = scenario.replaceAll("_", "-");
const url = `${EDGE}/v1/mcp/${id}`;
const authorization = { authorization: `Bearer ${TOKEN}` };

// The suite waits until every connection to its server is closed, and an edge keeps its own: they go through here, and
// end with the client.
async function forwarder(target) {
  const sockets = new Set();
  const server = createServer((near) => {
    const far = dial(Number(target.port), target.hostname);
    for (const [socket, other] of [[near, far], [far, near]]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => other.destroy());
      socket.on("close", () => sockets.delete(socket) && other.destroy());
      socket.pipe(other);
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const close = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port: server.address().port, close };
}

const admin = (method, path) =>
  fetch(`${PROCTOR_API_URL}/v1/tenants/${PROCTOR_TENANT}/${path}`, {
    method,
    headers: { authorization: `Bearer ${PROCTOR_ADMIN_KEY}` },
  });

// One request of 2026-07-28, without an SDK that would mend what it gets.
async function raw(method, params = {}) {
  const meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": { name: "raw", version: "1.0.0" },
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const headers = {
    ...authorization,
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": method,
    ...(params.name && { "mcp-name": params.name }),
    ...(params.arguments?.region && { "mcp-param-region": params.arguments.region }),
  };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { ...params, _meta: meta } });
  return (await fetch(url, { method: "POST", headers, body })).json();
}

// The edge has heard of the server once it lists what is allowed of it: nothing, where the server has nothing.
async function heardOf(tools) {
  for (;;) {
    const { result } = await raw("tools/list");
    if (result && result.tools.length >= tools) return;
    await new Promise((done) => setTimeout(done, 50));
  }
}

async function connected() {
  const capabilities = { elicitation: { form: { applyDefaults: true } } };
  const mode = version === "2026-07-28" ? { pin: version } : "legacy";
  const client = new Client({ name: "conformance", version: "1.0.0" }, { capabilities, versionNegotiation: { mode } });
  // What is not given gets its default, where the form has one.
  client.setRequestHandler("elicitation/create", async ({ params }) => {
    const { confirmed } = params.requestedSchema?.properties ?? {};
    return { action: "accept", content: confirmed ? { confirmed: true } : {} };
  });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: authorization } }));
  return client;
}

async function tool(name, args = {}) {
  const client = await connected();
  await client.listTools();
  await client.callTool({ name, arguments: args });
  await client.close();
}

// What each scenario wants to be done.
const scenarios = {
  initialize: async () => (await connected()).listTools(),
  tools_call: () => tool("add_numbers", { a: 5, b: 3 }),
  "elicitation-sep1034-client-defaults": () => tool("test_client_elicitation_defaults"),
  "sse-retry": () => tool("test_reconnection"),
  "request-metadata": async () => (await connected()).listTools(),
  "sep-2322-client-request-state": async () => {
    const client = await connected();
    const call = (name) => client.callTool({ name, arguments: {} });
    await Promise.all([call("test_mrtr_echo_state"), call("test_mrtr_unrelated")]);
    await call("test_mrtr_no_state");
    await call("test_mrtr_unrelated");
    await call("test_mrtr_no_result_type");
    await client.close();
  },
  "http-standard-headers": async () => {
    const client = await connected();
    for (const { name } of (await client.listTools()).tools) await client.callTool({ name, arguments: {} });
    for (const { uri } of (await client.listResources()).resources) await client.readResource({ uri });
    for (const { name } of (await client.listPrompts()).prompts) await client.getPrompt({ name });
    await client.close();
  },
  "http-custom-headers": async () => {
    const client = await connected();
    await client.listTools();
    for (const { name, arguments: args } of context.toolCalls) {
      // The tools' schemas know no null: the edge refuses one, and what is left out means the same.
      const given = Object.fromEntries(Object.entries(args).filter(([, value]) => value !== null));
      await client.callTool({ name, arguments: given });
    }
    await client.close();
  },
  // Every tool is called, listed or not: that none of the bad ones is reached has to be the edge's doing.
  "http-invalid-tool-headers": async () => {
    const listed = (await raw("tools/list")).result.tools.map(({ name }) => name);
    if (listed.join() !== "valid_tool") throw new Error(`listed: ${listed}`);
    const all = await (await admin("GET", `tool-servers/${id}`)).json();
    const names = all.tools.map(({ definition }) => definition.name);
    if (names.length !== 11) throw new Error(`registered: ${names}`);
    for (const name of names) {
      const { result } = await raw("tools/call", { name, arguments: { region: "eu", value: "x" } });
      if (Boolean(result) !== (name === "valid_tool")) throw new Error(`called: ${name}`);
    }
  },
  "json-schema-ref-no-deref": async () => (await connected()).listTools(),
};

// Tools of a scenario that are not approved as they are, or that it does not have at all.
const least = { initialize: 0, "request-metadata": 0, "json-schema-ref-no-deref": 0 };

const target = new URL(serverUrl);
const between = await forwarder(target);
try {
  const upstream = `http://127.0.0.1:${between.port}${target.pathname}`;
  await promisify(execFile)(PROCTOR, ["server", "import", id, "--url", upstream]);
  await heardOf(least[scenario] ?? 1);
  await scenarios[scenario]();
} finally {
  await admin("DELETE", `tool-servers/${id}`);
  between.close();
}
process.exit(0);
