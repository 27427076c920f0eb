// Logs in as MCP's authorization has it, by the official TypeScript clients: who gives tokens is found through the edge's own
// metadata, the client registers there, and gets a code with PKCE. Then it lists and calls tools with the access token that it was
// given, one of them a tool that the login does not cover. Prints what came of it as one JSON line.
//
//     login.mjs URL 1|2 legacy|auto
const [url, generation, mode] = process.argv.slice(2);
const info = { name: `login-${generation}`, version: "1.0.0" };
// Nobody listens there: where the browser would be sent to is read here.
const redirect = "http://127.0.0.1:9/callback";
const kept = {};
const scopes = [];
const authProvider = {
  redirectUrl: redirect,
  clientMetadata: {
    client_name: info.name,
    redirect_uris: [redirect],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
  clientInformation: () => kept.client,
  saveClientInformation: (client) => void (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => void (kept.tokens = tokens),
  codeVerifier: () => kept.verifier,
  saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
  discoveryState: () => kept.discovery,
  saveDiscoveryState: (discovery) => void (kept.discovery = discovery),
  async redirectToAuthorization(page) {
    scopes.push(page.searchParams.get("scope"));
    const answer = await fetch(page, { redirect: "manual" });
    kept.code = new URL(answer.headers.get("location")).searchParams.get("code");
  },
};

async function sdk() {
  if (generation === "1") {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    return { make: () => new Client(info), Transport: StreamableHTTPClientTransport };
  }
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const make = () => new Client(info, { versionNegotiation: { mode } });
  return { make, Transport: StreamableHTTPClientTransport };
}

const { make, Transport } = await sdk();
const open = () => new Transport(new URL(url), { authProvider });
const stranger = open();
let before = "connected";
try {
  await make().connect(stranger);
} catch (error) {
  before = error.message;
}
await stranger.finishAuth(kept.code);

const client = make();
const transport = open();
await client.connect(transport);
const version = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion;
const { tools } = await client.listTools();
const args = { id: "1", amount: 1 };
const call = await client.callTool({ name: "worker__work", arguments: args });
let refused = null;
try {
  await client.callTool({ name: "worker__danger", arguments: args });
} catch (error) {
  refused = error.message || error.name;
}
// The session goes on, whatever became of that.
const again = await client.callTool({ name: "worker__work", arguments: args });
const names = tools.map((tool) => tool.name);
console.log(JSON.stringify({ version, before, scopes, tools: names, call, refused, again }));
await client.close();
process.exit(0);
