"""A server of the Model Context Protocol that tells the time, over its standard input and output."""
from datetime import datetime, timezone

from mcp.server.mcpserver import MCPServer

server = MCPServer("clock")


@server.tool()
def now() -> str:
    """The time, in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def main() -> None:
    server.run()
