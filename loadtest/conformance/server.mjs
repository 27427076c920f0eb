// A server with the tools, resources and prompts that the conformance suite asks for, on the official SDK.
// `node server.mjs PORT ERA`, ERA being `legacy` (up to 2025-11-25, with sessions) or `modern` (2026-07-28).
import { createServer } from "node:http";
import { randomBytes, randomUUID } from "node:crypto";
import {
  McpServer,
  ResourceTemplate,
  acceptedContent,
  completable,
  createMcpHandler,
  createRequestStateCodec,
  inputRequired,
} from "@modelcontextprotocol/server";
import { NodeStreamableHTTPServerTransport, toNodeHandler } from "@modelcontextprotocol/node";
import * as z from "zod";

const [port, era] = process.argv.slice(2);
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=";
const text = (text) => ({ content: [{ type: "text", text }] });
const pause = () => new Promise((done) => setTimeout(done, 50));
const nothing = z.object({});
const state = createRequestStateCodec({ key: randomBytes(32) });
const name = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };

let notify = { toolsChanged() {}, promptsChanged() {} };

function content(server) {
  const tool = (id, description, run, inputSchema = nothing) =>
    server.registerTool(id, { description, inputSchema }, run);
  tool("test_simple_text", "One text", () => text("This is a simple text response for testing."));
  tool("test_image_content", "One image", () => ({ content: [{ type: "image", data: PNG, mimeType: "image/png" }] }));
  tool("test_audio_content", "One sound", () => ({ content: [{ type: "audio", data: WAV, mimeType: "audio/wav" }] }));
  tool("test_embedded_resource", "One embedded resource", () => ({
    content: [
      {
        type: "resource",
        resource: { uri: "test://embedded-resource", mimeType: "text/plain", text: "This is an embedded resource content." },
      },
    ],
  }));
  tool("test_multiple_content_types", "Several blocks", () => ({
    content: [
      { type: "text", text: "Multiple content types test:" },
      { type: "image", data: PNG, mimeType: "image/png" },
      {
        type: "resource",
        resource: {
          uri: "test://mixed-content-resource",
          mimeType: "application/json",
          text: JSON.stringify({ test: "data", value: 123 }),
        },
      },
    ],
  }));
  tool("test_tool_with_logging", "Logs three lines", async (_, ctx) => {
    for (const line of ["Tool execution started", "Tool processing data", "Tool execution completed"]) {
      await ctx.mcpReq.log("info", line);
      await pause();
    }
    return text("Tool with logging executed successfully");
  });
  tool("test_logging_tool", "Logs a line", async (_, ctx) => {
    await ctx.mcpReq.log("info", "a line");
    return text("logged");
  });
  tool("test_tool_with_progress", "Reports progress", async (_, ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined) {
        await ctx.mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress, total: 100 } });
      }
      await pause();
    }
    return text("done");
  });
  tool("test_error_handling", "Fails", () => ({
    ...text("This tool intentionally returns an error for testing"),
    isError: true,
  }));
  tool("test_trigger_tool_change", "Says that the tools changed", () => {
    notify.toolsChanged();
    return text("changed");
  });
  tool("test_trigger_prompt_change", "Says that the prompts changed", () => {
    notify.promptsChanged();
    return text("changed");
  });
  server.registerTool(
    "json_schema_2020_12_tool",
    {
      description: "A schema with definitions",
      inputSchema: z.object({
        name: z.string().optional(),
        address: z.object({ street: z.string().optional(), city: z.string().optional() }).optional(),
      }),
    },
    (args) => text(JSON.stringify(args)),
  );
}

const titled = (values, title) => values.map((value, index) => ({ const: value, title: `${title} ${index + 1}` }));
const form = (properties, required = []) => ({ type: "object", properties, required });
// What the forms of the 2025-11-25 scenarios ask, whatever the era of the server that asks it.
const RESPONSE = form({ response: { type: "string", description: "User's response" } }, ["response"]);
const DEFAULTS = form({
  name: { type: "string", description: "User name", default: "John Doe" },
  age: { type: "integer", description: "User age", default: 30 },
  score: { type: "number", description: "User score", default: 95.5 },
  status: { type: "string", description: "User status", enum: ["active", "inactive", "pending"], default: "active" },
  verified: { type: "boolean", description: "Verification status", default: true },
});
const ENUMS = form({
  untitledSingle: { type: "string", description: "Select one option", enum: ["option1", "option2", "option3"] },
  titledSingle: {
    type: "string",
    description: "Select one option with titles",
    oneOf: titled(["value1", "value2", "value3"], "Option"),
  },
  legacyEnum: {
    type: "string",
    description: "Select one option (legacy)",
    enum: ["opt1", "opt2", "opt3"],
    enumNames: ["Option One", "Option Two", "Option Three"],
  },
  untitledMulti: {
    type: "array",
    description: "Select multiple options",
    minItems: 1,
    maxItems: 3,
    items: { type: "string", enum: ["option1", "option2", "option3"] },
  },
  titledMulti: {
    type: "array",
    description: "Select multiple options with titles",
    minItems: 1,
    maxItems: 3,
    items: { anyOf: titled(["value1", "value2", "value3"], "Choice") },
  },
});
// And those of the 2026-07-28 scenarios.
const CONFIRMED = form({ ok: { type: "boolean" } }, ["ok"]);
const COLOR = form({ color: { type: "string" } }, ["color"]);
const CONTEXT = form({ context: { type: "string" } }, ["context"]);
const response = ({ action, content }) =>
  text(`User response: action=${action}, content=${JSON.stringify(content ?? {})}`);
const PROMPT = z.object({ prompt: z.string() });
const MESSAGE = z.object({ message: z.string() });
const REVIEW = "Please review and update the form fields with defaults";
const SELECT = "Please select options from the enum fields";

function asksOnItsStream(server) {
  const tool = (id, description, run, inputSchema = nothing) =>
    server.registerTool(id, { description, inputSchema }, run);
  const elicit = (ctx, message, requestedSchema) => ctx.mcpReq.elicitInput({ mode: "form", message, requestedSchema });
  const sample = (ctx, question) => {
    const messages = [{ role: "user", content: { type: "text", text: question } }];
    return ctx.mcpReq.requestSampling({ messages, maxTokens: 100 });
  };
  const sampled = async ({ prompt }, ctx) => text(`LLM response: ${(await sample(ctx, prompt)).content?.text ?? ""}`);
  tool("test_sampling", "Asks the client's model", sampled, PROMPT);
  const elicited = async ({ message }, ctx) => response(await elicit(ctx, message, RESPONSE));
  tool("test_elicitation", "Asks the user", elicited, MESSAGE);
  tool("test_elicitation_sep1034_defaults", "Asks with defaults", async (_, ctx) =>
    response(await elicit(ctx, REVIEW, DEFAULTS)),
  );
  tool("test_elicitation_sep1330_enums", "Asks with choices", async (_, ctx) =>
    response(await elicit(ctx, SELECT, ENUMS)),
  );
  // What clients of 2026-07-28 are asked for, as far as one that asks on its stream can: one thing at a time, without a name. On
  // the stream of the request that it is about: some scenarios leave theirs waiting, and a session's own stream says nothing of it.
  const put = (ctx, message, requestedSchema) =>
    ctx.mcpReq.send({ method: "elicitation/create", params: { mode: "form", message, requestedSchema } });
  const draw = (ctx, question) => {
    const messages = [{ role: "user", content: { type: "text", text: question } }];
    return ctx.mcpReq.send({ method: "sampling/createMessage", params: { messages, maxTokens: 100 } });
  };
  tool("test_input_required_result_elicitation", "Asks for a name", async (_, ctx) =>
    text(`Hello, ${(await put(ctx, "What is your name?", name)).content?.name ?? "nobody"}!`),
  );
  tool("test_input_required_result_sampling", "Asks the model", async (_, ctx) =>
    text((await draw(ctx, "What is the capital of France?")).content?.text ?? ""),
  );
  tool("test_input_required_result_list_roots", "Asks for roots", async (_, ctx) =>
    text(JSON.stringify((await ctx.mcpReq.send({ method: "roots/list" })).roots)),
  );
  const confirms = async (_, ctx) => {
    await put(ctx, "Please confirm", CONFIRMED);
    return text("state-ok");
  };
  tool("test_input_required_result_request_state", "Asks", confirms);
  tool("test_input_required_result_tampered_state", "Asks", confirms);
  tool("test_input_required_result_multi_round", "Asks twice", async (_, ctx) => {
    await put(ctx, "Step 1: What is your name?", name);
    await put(ctx, "Step 2: What is your favorite color?", COLOR);
    return text("done");
  });
  const asks = { description: "Asks before it answers" };
  server.registerPrompt("test_input_required_result_prompt", asks, async (ctx) => {
    const { content } = await put(ctx, "What context should the prompt use?", CONTEXT);
    return { messages: [{ role: "user", content: { type: "text", text: content?.context ?? "" } }] };
  });
}

function asksInResults(server) {
  const tool = (id, description, run, inputSchema = nothing) =>
    server.registerTool(id, { description, inputSchema }, run);
  const ask = (inputRequests, requestState) => inputRequired({ inputRequests, requestState });
  const elicit = (message, requestedSchema) => inputRequired.elicit({ message, requestedSchema });
  const sample = (question, maxTokens) =>
    inputRequired.createMessage({ messages: [{ role: "user", content: { type: "text", text: question } }], maxTokens });
  // What clients of 2025-11-25 are asked for.
  const sampled = ({ prompt }, ctx) => {
    const given = ctx.mcpReq.inputResponses?.sampled;
    return given ? text(`LLM response: ${given.content?.text ?? ""}`) : ask({ sampled: sample(prompt, 100) });
  };
  tool("test_sampling", "Asks the client's model", sampled, PROMPT);
  const elicited = (ctx, message, requestedSchema) => {
    const given = ctx.mcpReq.inputResponses?.given;
    return given ? response(given) : ask({ given: elicit(message, requestedSchema) });
  };
  tool("test_elicitation", "Asks the user", ({ message }, ctx) => elicited(ctx, message, RESPONSE), MESSAGE);
  tool("test_elicitation_sep1034_defaults", "Asks with defaults", (_, ctx) => elicited(ctx, REVIEW, DEFAULTS));
  tool("test_elicitation_sep1330_enums", "Asks with choices", (_, ctx) => elicited(ctx, SELECT, ENUMS));
  tool("test_input_required_result_elicitation", "Asks for a name", (_, ctx) => {
    const given = acceptedContent(ctx.mcpReq.inputResponses, "user_name");
    return given ? text(`Hello, ${given.name}!`) : ask({ user_name: elicit("What is your name?", name) });
  });
  tool("test_input_required_result_sampling", "Asks the model", (_, ctx) => {
    const given = ctx.mcpReq.inputResponses?.capital_question;
    return given ? text(given.content.text) : ask({ capital_question: sample("What is the capital of France?", 100) });
  });
  tool("test_input_required_result_list_roots", "Asks for roots", (_, ctx) => {
    const given = ctx.mcpReq.inputResponses?.client_roots;
    return given ? text(JSON.stringify(given.roots)) : ask({ client_roots: inputRequired.listRoots() });
  });
  const withState = async (_, ctx) =>
    ctx.mcpReq.requestState() === undefined
      ? ask({ confirm: elicit("Please confirm", CONFIRMED) }, await state.mint({ round: 1 }, ctx))
      : text("state-ok");
  tool("test_input_required_result_request_state", "Keeps a state", withState);
  tool("test_input_required_result_tampered_state", "Keeps a state", withState);
  tool("test_input_required_result_multiple_inputs", "Asks three things", async (_, ctx) =>
    ctx.mcpReq.requestState() === undefined
      ? ask(
          {
            user_name: elicit("What is your name?", name),
            greeting: sample("Generate a greeting", 50),
            client_roots: inputRequired.listRoots(),
          },
          await state.mint({ round: 1 }, ctx),
        )
      : text(Object.keys(ctx.mcpReq.inputResponses ?? {}).join()),
  );
  tool("test_input_required_result_multi_round", "Asks twice", async (_, ctx) => {
    const { round = 0 } = ctx.mcpReq.requestState() ?? {};
    const next = await state.mint({ round: round + 1 }, ctx);
    if (round === 0) return ask({ step1: elicit("Step 1: What is your name?", name) }, next);
    if (round === 1) return ask({ step2: elicit("Step 2: What is your favorite color?", COLOR) }, next);
    return text("done");
  });
  tool("test_input_required_result_capabilities", "Asks what can be asked", (_, ctx) => {
    const can = ctx.mcpReq.envelope?.["io.modelcontextprotocol/clientCapabilities"] ?? {};
    const questions = {};
    if (can.sampling) questions.sampled = sample("Say something", 10);
    if (can.elicitation) questions.elicited = elicit("Your name?", name);
    return ctx.mcpReq.inputResponses ? text("done") : ask(questions);
  });
  tool("test_streaming_elicitation", "Asks after a note", (_, ctx) =>
    ctx.mcpReq.inputResponses ? text("done") : ask({ user_name: elicit("What is your name?", name) }),
  );
  // The SDK refuses it where the client did not declare that it can be asked.
  tool("test_missing_capability", "Needs sampling", (_, ctx) =>
    ctx.mcpReq.inputResponses ? text("sampled") : ask({ sampled: sample("Say something", 10) }),
  );
  server.registerPrompt("test_input_required_result_prompt", { description: "Asks before it answers" }, (ctx) => {
    const given = acceptedContent(ctx.mcpReq.inputResponses, "user_context");
    return given
      ? { messages: [{ role: "user", content: { type: "text", text: given.context } }] }
      : ask({ user_context: elicit("What context should the prompt use?", CONTEXT) });
  });
}

function resources(server) {
  const one = (id, uri, mimeType, more) =>
    server.registerResource(id, uri, { title: id, description: `The resource ${id}`, mimeType }, () => ({
      contents: [{ uri, mimeType, ...more }],
    }));
  one("static-text", "test://static-text", "text/plain", { text: "This is the content of the static text resource." });
  one("static-binary", "test://static-binary", "image/png", { blob: PNG });
  one("watched-resource", "test://watched-resource", "text/plain", { text: "Watched resource content" });
  const template = new ResourceTemplate("test://template/{id}/data", { list: undefined });
  server.registerResource("template", template, { title: "template", mimeType: "application/json" }, (uri, { id }) => ({
    contents: [
      {
        uri: uri.toString(),
        mimeType: "application/json",
        text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }),
      },
    ],
  }));
}

function prompts(server) {
  const says = (...contents) => ({ messages: contents.map((content) => ({ role: "user", content })) });
  const words = (text) => ({ type: "text", text });
  server.registerPrompt("test_simple_prompt", { title: "Simple", description: "No arguments" }, () =>
    says(words("This is a simple prompt for testing.")),
  );
  const suggest = (value) => ["test1", "test2", "paris"].filter((word) => word.startsWith(value));
  const argsSchema = z.object({
    arg1: completable(z.string().describe("First"), suggest),
    arg2: z.string().describe("Second"),
  });
  server.registerPrompt("test_prompt_with_arguments", { description: "Two arguments", argsSchema }, ({ arg1, arg2 }) =>
    says(words(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)),
  );
  const embeds = { description: "Embeds", argsSchema: z.object({ resourceUri: z.string() }) };
  server.registerPrompt("test_prompt_with_embedded_resource", embeds, ({ resourceUri }) =>
    says(
      {
        type: "resource",
        resource: { uri: resourceUri, mimeType: "text/plain", text: "Embedded resource content for testing." },
      },
      words("Please process the embedded resource above."),
    ),
  );
  server.registerPrompt("test_prompt_with_image", { description: "An image" }, () =>
    says({ type: "image", data: PNG, mimeType: "image/png" }, words("Please analyze the image above.")),
  );
}

function build() {
  const list = { listChanged: true };
  const capabilities = {
    tools: list,
    prompts: list,
    resources: { subscribe: true, listChanged: true },
    completions: {},
    logging: {},
  };
  const options = { capabilities, requestState: { verify: state.verify } };
  const server = new McpServer({ name: "proctor-conformance", version: "1.0.0" }, options);
  content(server);
  if (era === "legacy") asksOnItsStream(server);
  else asksInResults(server);
  resources(server);
  prompts(server);
  if (era === "legacy") {
    server.server.setRequestHandler("resources/subscribe", () => ({}));
    server.server.setRequestHandler("resources/unsubscribe", () => ({}));
  }
  return server;
}

function modern() {
  const handler = createMcpHandler(build, { legacy: "reject" });
  notify = handler.notify;
  return toNodeHandler(handler);
}

function legacy() {
  const transports = new Map();
  const servers = new Set();
  notify = {
    toolsChanged: () => servers.forEach((server) => server.sendToolListChanged()),
    promptsChanged: () => servers.forEach((server) => server.sendPromptListChanged()),
  };
  return async (request, response) => {
    const known = transports.get(request.headers["mcp-session-id"]);
    if (known) return known.handleRequest(request, response);
    const transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => transports.set(id, transport),
      onsessionclosed: (id) => transports.delete(id),
    });
    const server = build();
    servers.add(server);
    transport.onclose = () => servers.delete(server);
    await server.connect(transport);
    return transport.handleRequest(request, response);
  };
}

const handle = era === "legacy" ? legacy() : modern();
createServer((request, response) => {
  Promise.resolve(handle(request, response)).catch((error) => {
    console.error(error);
    response.destroy();
  });
}).listen(Number(port), "127.0.0.1", () => console.log("ready"));
