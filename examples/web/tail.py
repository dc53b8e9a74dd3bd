"""Shows events by HTTP alone, without NodeSet: python examples/web/tail.py [PATTERN] [BRIDGE]."""

import sys
import urllib.parse
import urllib.request

pattern = sys.argv[1] if len(sys.argv) > 1 else ">"
bridge = sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:8080"
address = f"{bridge}/v1/events/{urllib.parse.quote(pattern, safe='')}"
request = urllib.request.Request(address, headers={"Accept": "application/x-ndjson"})
with urllib.request.urlopen(request) as events:
    for line in events:
        print(line.decode().rstrip(), flush=True)
