"""The node that watches a dispatcher, for people as well as for Prometheus."""
