// Lists the tools, makes the calls of a script, and prints what came of them as one JSON line.
export async function play(client, version, script) {
  const { tools } = await client.listTools();
  const calls = [];
  for (const { name, arguments: args } of script) {
    try {
      const result = await client.callTool({ name, arguments: args });
      calls.push({ result });
    } catch (error) {
      const { code, message, data, requiredScope: scope } = error;
      calls.push({ error: { code, message, data, scope } });
    }
  }
  console.log(JSON.stringify({ version, tools: tools.map((tool) => tool.name), calls }));
}
