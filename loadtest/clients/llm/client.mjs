// What OpenAI's official TypeScript client makes of an edge: base URL and capability token as arguments.

import OpenAI from "openai";

const [edge, token] = process.argv.slice(2);
const make = (apiKey) => new OpenAI({ baseURL: `${edge}/v1/llm/openai`, apiKey, maxRetries: 0 });
const client = make(token);
const messages = [{ role: "user", content: "good morning, all is well" }];
const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }];

async function failed(act) {
  const read = [];
  try {
    await act(read);
  } catch (error) {
    const data = error.error?.data ?? {};
    return { type: error.constructor.name, base: error instanceof OpenAI.APIError, status: error.status ?? null, reason: data.reason, message: error.error?.message, read: read.join("") };
  }
  return { type: null, read: read.join("") };
}

const out = {};
const whole = await client.chat.completions.create({ model: "echo", messages });
out.whole = { text: whole.choices[0].message.content, tokens: [whole.usage.prompt_tokens, whole.usage.completion_tokens] };

let text = "", usage = null, finish = null;
for await (const chunk of await client.chat.completions.create({ model: "echo", messages, stream: true, stream_options: { include_usage: true } })) {
  for (const choice of chunk.choices) {
    text += choice.delta.content ?? "";
    finish = choice.finish_reason ?? finish;
  }
  usage = chunk.usage ?? usage;
}
out.stream = { text, finish, tokens: [usage.prompt_tokens, usage.completion_tokens] };

const called = await client.chat.completions.create({ model: "caller", messages, tools });
const call = called.choices[0].message.tool_calls[0];
out.tool = { name: call.function.name, arguments: JSON.parse(call.function.arguments) };
const final = await client.chat.completions.stream({ model: "caller", messages, tools }).finalMessage();
out.tool_stream = { name: final.tool_calls[0].function.name, arguments: JSON.parse(final.tool_calls[0].function.arguments) };

out.leaky = (await client.chat.completions.create({ model: "leaky", messages })).choices[0].message.content;
out.leaky_stream = (await client.chat.completions.stream({ model: "leaky", messages }).finalMessage()).content;

const response = await client.responses.create({ model: "echo", input: "good morning, all is well" });
out.response = { text: response.output_text, tokens: [response.usage.input_tokens, response.usage.output_tokens] };
text = "";
let last = null;
for await (const event of await client.responses.create({ model: "echo", input: "good morning, all is well", stream: true })) {
  text += event.type === "response.output_text.delta" ? event.delta : "";
  last = event.type;
}
out.response_stream = { text, last };
out.embeddings = (await client.embeddings.create({ model: "echo", input: ["a text", "another"], encoding_format: "float" })).data.length;

out.runaway = await failed(async (read) => {
  for await (const chunk of await client.chat.completions.create({ model: "runaway", messages, stream: true })) {
    for (const choice of chunk.choices) read.push(choice.delta.content ?? "");
  }
});
out.response_runaway = await failed(async (read) => {
  for await (const event of await client.responses.create({ model: "runaway", input: "x", stream: true })) {
    read.push(event.type === "response.output_text.delta" ? event.delta : "");
  }
});
out.unknown_model = await failed(() => client.chat.completions.create({ model: "none", messages }));
out.wrong = await failed(() => client.chat.completions.create({ model: "wrong", messages }));
out.forged = await failed(() => make("pct_x").chat.completions.create({ model: "echo", messages }));
console.log(JSON.stringify(out));
