"""What is true: the rules of customers and accounts, as pure functions over frozen structs."""
