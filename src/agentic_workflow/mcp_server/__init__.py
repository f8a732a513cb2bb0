"""A workflow and its table as tools of the Model Context Protocol, over stdio and HTTP."""
