"""What people see: the dashboard in a real browser, before a real dispatcher with real nodes.

`make test-browser` runs these; their modules have no name that `make test` looks for, as that needs no browser.
"""
