"""The web bridge: what nodes say to each other, over HTTP, server-sent events, WebSocket."""
