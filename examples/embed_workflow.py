"""Ask a student from other Python code: python examples/embed_workflow.py [checkpoint]."""

import sys

from stillroom.agentic_workflow.agent import MultiAgentWorkflow

if __name__ == "__main__":
    checkpoint = sys.argv[1] if len(sys.argv) > 1 else "outputs/elements/student"
    workflow = MultiAgentWorkflow(checkpoint)
    table = workflow.agent.table
    question = table.examples[0] if table and table.examples else "What is the symbol of gold?"
    print(workflow.run(question)["response"])  # the answer
    why = workflow.explain(question)  # and where it came from
    print(why["verdict"], [(source["row"], source["column"]) for source in why["sources"]])
    for piece in workflow.stream(question):  # the same, as it is made
        print(piece, end="", flush=True)
    print()
    graph = workflow.graph  # LangGraph's own graph: a Runnable, a subgraph, or for Studio
    print(graph.get_graph().draw_mermaid())
