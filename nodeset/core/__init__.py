"""The bus itself: messages, addresses, routing, nodes, dispatcher; it knows no wire."""
