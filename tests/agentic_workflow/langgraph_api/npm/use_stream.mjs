// A page over LangGraph's `useStream`; esbuild bundles it for the browser.
// Its address has apiUrl, assistantId and, once there is one, threadId.
import { createElement as make, useState } from "react";
import { createRoot } from "react-dom/client";
import { useStream } from "@langchain/langgraph-sdk/react";

const address = new URL(window.location.href);
const given = (name) => address.searchParams.get(name);

function Page() {
  const [threadId, setThreadId] = useState(given("threadId"));
  const [text, setText] = useState("");
  const [error, setError] = useState("");
  const stream = useStream({
    apiUrl: given("apiUrl"),
    apiKey: "anna",
    assistantId: given("assistantId"),
    messagesKey: "messages",
    reconnectOnMount: true,
    fetchStateHistory: true,
    threadId,
    onThreadId: (id) => {
      setThreadId(id);
      address.searchParams.set("threadId", id);
      window.history.replaceState(null, "", address);
    },
    onError: (fault) => setError(String(fault?.message ?? fault)),
  });
  const send = () => {
    stream.submit(
      { messages: [{ type: "human", content: text }] },
      { streamMode: ["values", "messages-tuple"] },
    );
    setText("");
  };
  const resume = (approved) => {
    const { action, details } = stream.interrupt.value;
    stream.submit(null, { command: { resume: { approved, proposal: { action, details } } } });
  };
  const button = (name, onClick) => make("button", { onClick, key: name }, name);
  return make(
    "main",
    null,
    make("ol", null, stream.messages.map((one, number) =>
      make("li", { key: one.id ?? number, className: one.type }, one.content))),
    make("p", { id: "status" }, stream.isLoading ? "busy" : "idle"),
    make("p", { id: "error" }, error),
    make("p", { id: "context" }, stream.values?.context ?? ""),
    make("input", { value: text, onChange: (event) => setText(event.target.value) }),
    button("Send", send),
    button("Stop", () => stream.stop()),
    stream.interrupt
      ? [
          make("p", { id: "asked", key: "asked" }, stream.interrupt.value.action),
          button("Approve", () => resume(true)),
          button("Reject", () => resume(false)),
        ]
      : null,
  );
}

createRoot(document.body.appendChild(document.createElement("div"))).render(make(Page));
