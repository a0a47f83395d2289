"""What people see and do, without a terminal or a page: one implementation for every face (`node.cli` is the first)."""
