// What the protocol has beside tools, by the official TypeScript clients, against the reference server: resources,
// prompts, completion, progress, cancellation, elicitation, sampling, roots. Prints what came of each as one JSON line.
//
//     protocol.mjs URL TOKEN 1|2 legacy|auto
const [url, token, generation, mode] = process.argv.slice(2);
const headers = { requestInit: { headers: { Authorization: `Bearer ${token}` } } };
const info = { name: `protocol-${generation}`, version: "1.0.0" };
const capabilities = { sampling: {}, elicitation: {}, roots: {} };

async function connect() {
  if (generation === "1") {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const { CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema } = await import(
      "@modelcontextprotocol/sdk/types.js"
    );
    const client = new Client(info, { capabilities });
    client.setRequestHandler(ElicitRequestSchema, elicited);
    client.setRequestHandler(CreateMessageRequestSchema, sampled);
    client.setRequestHandler(ListRootsRequestSchema, rooted);
    const transport = new StreamableHTTPClientTransport(new URL(url), headers);
    await client.connect(transport);
    const call = (params, options) => client.callTool(params, undefined, options);
    return { client, call, version: transport.protocolVersion };
  }
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const client = new Client(info, { capabilities, versionNegotiation: { mode } });
  client.setRequestHandler("elicitation/create", elicited);
  client.setRequestHandler("sampling/createMessage", sampled);
  client.setRequestHandler("roots/list", rooted);
  const transport = new StreamableHTTPClientTransport(new URL(url), headers);
  await client.connect(transport);
  const call = (params, options) => client.callTool(params, options);
  return { client, call, version: client.getNegotiatedProtocolVersion() };
}

const elicited = async () => ({ action: "accept", content: { name: "Ada" } });
const sampled = async (request) => {
  const asked = request.params.messages[0].content;
  return { model: "none", role: "assistant", content: { type: "text", text: `heard: ${asked.text ?? asked[0].text}` } };
};
const rooted = async () => ({ roots: [{ uri: "file:///work", name: "work" }] });

const { client, call, version } = await connect();
const told = { version };
const text = (result) => result.content.map((block) => block.text).join("\n");

async function tell(what, how) {
  try {
    told[what] = await how();
  } catch (error) {
    const { code, name, message, data, requiredScope: scope } = error;
    told[what] = { error: code ?? name, message, data, scope };
  }
}

// First: the server asks for the roots by itself a moment after it was greeted, in the middle of whatever call is under way, unless
// it has them by then. To a client of 2026-07-28 its question is a round of that call, and such a one counts rounds as progress.
await tell("roots", async () => text(await call({ name: "get-roots-list", arguments: {} })));
await tell("resources", async () => (await client.listResources()).resources.map(({ uri }) => uri));
await tell("templates", async () => (await client.listResourceTemplates()).resourceTemplates.map((t) => t.uriTemplate));
await tell("read", async () => (await client.readResource({ uri: "demo://resource/dynamic/text/7" })).contents[0].text);
await tell("not granted", () => client.readResource({ uri: "demo://resource/dynamic/blob/7" }));
await tell("prompts", async () => (await client.listPrompts()).prompts.map(({ name }) => name));
await tell("prompt", async () => {
  const { messages } = await client.getPrompt({ name: "args-prompt", arguments: { city: "Delft" } });
  return messages[0].content.text;
});
await tell("completion", async () => {
  const ref = { type: "ref/prompt", name: "completable-prompt" };
  return (await client.complete({ ref, argument: { name: "department", value: "S" } })).completion.values;
});
await tell("progress", async () => {
  const steps = [];
  const slow = { name: "trigger-long-running-operation", arguments: { duration: 1, steps: 4 } };
  await call(slow, { onprogress: ({ progress, total }) => steps.push([progress, total]) });
  return steps;
});
await tell("cancel", async () => {
  const controller = new AbortController();
  const begun = Date.now();
  const forever = { name: "trigger-long-running-operation", arguments: { duration: 60, steps: 60 } };
  // It is under way, and known to be, once it says how far it is.
  const onprogress = () => controller.abort("enough");
  try {
    await call(forever, { signal: controller.signal, onprogress });
    return "it was answered";
  } catch {
    const after = await call({ name: "echo", arguments: { message: "still here" } });
    return { soon: Date.now() - begun < 20_000, after: text(after) };
  }
});
await tell("elicitation", async () => text(await call({ name: "trigger-elicitation-request", arguments: {} })));
await tell("sampling", async () => {
  const asked = { name: "trigger-sampling-request", arguments: { prompt: "hello", maxTokens: 10 } };
  return text(await call(asked));
});
console.log(JSON.stringify(told));
await client.close();
process.exit(0);
