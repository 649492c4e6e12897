"""What we do: one verb a function. An operation decides, writes and records, in the transaction that it is given."""
