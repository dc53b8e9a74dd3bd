"""Services that publish, subscribe, call and stream to each other through a stateless dispatcher."""
