"""Complete studies are checked against the rules; what matches becomes jobs in the decision's transaction."""
