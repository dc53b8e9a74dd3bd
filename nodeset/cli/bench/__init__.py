"""The rooms of `nodeset bench`, on which `make bench` stands as well."""
