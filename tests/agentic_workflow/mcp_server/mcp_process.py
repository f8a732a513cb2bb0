"""The MCP server over standard input and output, with a scripted student in place of a model."""

import asyncio

from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.http.service import Service
from stillroom.agentic_workflow.mcp_server.server import serve_stdio
from stillroom.agentic_workflow.reading import table_reader
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.tables import Column, FactTable, TableRow

table_reader.shared_encoder = lambda: None
TABLE = FactTable(
    source="elements.csv",
    kind="facts",
    key="element",
    columns=(Column("symbol", "symbol", ("What is the symbol of {key}?",)),),
    rows=(TableRow(79, "Gold", {"symbol": "Au"}), TableRow(47, "Silver", {"symbol": "Ag"})),
    examples=("What is the symbol of Gold?",),
    summary_templates=("{key}", "the record of {key}", "all facts on {key}"),
)

if __name__ == "__main__":
    model = ScriptedModel(lambda prompt: "Au")
    workflow = MultiAgentWorkflow(model, table=TABLE, checkpointer="memory")
    asyncio.run(serve_stdio(Service(model, {"multi": workflow}, model_name="elements")))
