// LangGraph's client for JavaScript, unmodified: `node client.mjs URL FLOW` prints one JSON object.
import { Client } from "@langchain/langgraph-sdk";

const [apiUrl, flow] = process.argv.slice(2);
const client = new Client({ apiUrl, apiKey: "anna" });
const question = { messages: [{ role: "user", content: "What is the symbol of gold?" }] };
const waiting = { messages: [{ role: "user", content: "Please wait." }] };
const approved = {
  approved: true,
  proposal: { action: "write the symbol", details: { symbol: "Au" } },
};

async function newThread() {
  return (await client.threads.create()).thread_id;
}

async function collect(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

async function busy(threadId, runId) {
  for await (const part of client.runs.joinStream(threadId, runId)) {
    if (part.event === "updates" && "finalize" in part.data) return;
  }
}

const flows = {
  async stream() {
    const threadId = await newThread();
    let created;
    const parts = await collect(
      client.runs.stream(threadId, "qa", {
        input: question,
        streamMode: ["values", "messages-tuple", "custom"],
        streamSubgraphs: true,
        streamResumable: true,
        onRunCreated: (run) => { created = run; },
      }),
    );
    const again = await collect(
      client.runs.joinStream(threadId, created.run_id, { lastEventId: "-1" }),
    );
    const state = await client.threads.getState(threadId);
    return {
      text: parts.filter((p) => p.event === "messages").map((p) => p.data[0].content).join(""),
      last: parts.at(-1).event,
      again: again.filter((p) => p.event === "messages").length,
      tokens: parts.filter((p) => p.event === "messages").length,
      messages: state.values.messages.map((m) => m.type),
      found: (await client.threads.search({ metadata: { graph_id: "qa" } })).length,
      history: (await client.threads.getHistory(threadId)).length,
      joined: (await client.runs.join(threadId, created.run_id)).context,
    };
  },

  async interrupt() {
    const threadId = await newThread();
    const stopped = await client.runs.wait(threadId, "asking", { input: question });
    const thread = await client.threads.get(threadId);
    const done = await client.runs.wait(threadId, "asking", { command: { resume: approved } });
    return {
      asked: stopped.__interrupt__[0].value.action,
      status: thread.status,
      waiting: Object.values(thread.interrupts).flat().length,
      context: done.context,
    };
  },

  async cancel() {
    const threadId = await newThread();
    const run = await client.runs.create(threadId, "qa", { input: waiting });
    await busy(threadId, run.run_id);
    let rejected = "";
    try {
      await client.runs.create(threadId, "qa", { input: question });
    } catch (error) {
      rejected = error.message;
    }
    await client.runs.cancel(threadId, run.run_id, true);
    const ended = await client.runs.get(threadId, run.run_id);
    return { rejected, status: ended.status };
  },

  async subscribers() {
    const threadId = await newThread();
    const run = await client.runs.create(threadId, "qa", { input: question });
    const both = await Promise.all(
      [1, 2].map(() => collect(client.runs.joinStream(threadId, run.run_id))),
    );
    return {
      same: JSON.stringify(both[0]) === JSON.stringify(both[1]),
      once: new Set(both[0].map((p) => p.id)).size === both[0].length,
      text: both[0].filter((p) => p.event === "messages").map((p) => p.data[0].content).join(""),
    };
  },

  async thread() {
    const thread = client.threads.stream({ assistantId: "asking" });
    const texts = [];
    const reading = (async () => {
      for await (const message of thread.messages) texts.push(await message.text);
    })();
    await thread.run.start({ input: question });
    await reading;
    const asked = thread.interrupts.map((one) => one.payload.action);
    const [one] = thread.interrupts;
    await thread.input.respond({
      interrupt_id: one.interruptId,
      namespace: one.namespace,
      response: approved,
    });
    const threadId = thread.threadId;

    // Another client: all events from the first on, then only those after a number.
    const all = [];
    for await (const event of await openEvents(threadId)) all.push(event);
    const output = (await client.threads.getState(threadId)).values;
    await thread.close();
    const middle = all[Math.floor(all.length / 2)].seq;
    const rest = [];
    for await (const event of await openEvents(threadId, middle)) rest.push(event);
    return {
      texts,
      asked,
      context: output.context,
      lifecycle: all.filter((e) => e.method === "lifecycle").map((e) => e.params.data.event),
      resumed: JSON.stringify(rest) === JSON.stringify(all.filter((e) => e.seq > middle)),
      once: new Set(all.map((e) => e.event_id)).size === all.length,
    };
  },
};

// Read a thread's events until the run's end.
async function openEvents(threadId, since) {
  const response = await fetch(`${apiUrl}/threads/${threadId}/stream/events`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": "anna" },
    body: JSON.stringify({ channels: ["lifecycle", "values", "input"], since }),
  });
  return (async function* () {
    let text = "";
    for await (const bytes of response.body) {
      text += new TextDecoder().decode(bytes);
      let end;
      while ((end = text.indexOf("\n\n")) >= 0) {
        const data = text.slice(0, end).split("\n").find((line) => line.startsWith("data: "));
        text = text.slice(end + 2);
        if (!data) continue;
        const event = JSON.parse(data.slice(6));
        yield event;
        if (event.method === "lifecycle" && event.params.data.event === "completed") return;
      }
    }
  })();
}

console.log(JSON.stringify(await flows[flow]()));
process.exit(0);
