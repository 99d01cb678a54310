"""The client of one real or embedded Nomad region."""
