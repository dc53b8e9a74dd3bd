"""Grants: what the holder of an address may do, as that address itself says."""
