// Tasks of 2025-11-25 by the official TypeScript client, 1.x, against the reference server: a tool that only runs as one and
// asks on the way, one that is stopped, and one that is not run as a task. Prints what came of each as one JSON line.
//
//     tasks.mjs URL TOKEN
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CallToolResultSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const [url, token] = process.argv.slice(2);
const client = new Client({ name: "tasks", version: "1.0.0" }, { capabilities: { elicitation: {} } });
client.setRequestHandler(ElicitRequestSchema, async () => ({ action: "accept", content: { interpretation: "snake" } }));
const headers = { requestInit: { headers: { Authorization: `Bearer ${token}` } } };
await client.connect(new StreamableHTTPClientTransport(new URL(url), headers));
await client.listTools();
const { tasks } = client.experimental;
const research = (ambiguous) => ({ name: "simulate-research-query", arguments: { topic: "python", ambiguous } });
const failed = (error) => ({ code: error.code, reason: error.data?.reason, message: error.message });

const told = { capability: client.getServerCapabilities().tasks, seen: [] };
for await (const message of tasks.callToolStream(research(true), CallToolResultSchema, { task: { ttl: 60_000 } })) {
  told.seen.push(message.type === "taskStatus" ? message.task.status : message.type);
  if (message.type === "taskCreated") told.id = message.task.taskId;
  if (message.type === "result") told.text = message.result.content[0].text;
  if (message.type === "error") told.error = failed(message.error);
}
told.listed = (await tasks.listTasks()).tasks.map(({ taskId, status }) => [taskId === told.id, status]);
for await (const message of tasks.callToolStream(research(false), CallToolResultSchema, { task: {} })) {
  if (message.type !== "taskCreated") continue;
  told.cancelled = (await tasks.cancelTask(message.task.taskId)).status;
  told.twice = await tasks.cancelTask(message.task.taskId).catch(failed);
  break;
}
const echo = { name: "echo", arguments: { message: "x" } };
for await (const message of tasks.callToolStream(echo, CallToolResultSchema, { task: {} })) {
  if (message.type === "error") told.plain = failed(message.error);
}
told.nobodys = await tasks.getTask("nobody's").catch(failed);
console.log(JSON.stringify(told));
await client.close();
process.exit(0);
