"""Complete studies are held against the rules; what matches becomes jobs in the decision's transaction."""
