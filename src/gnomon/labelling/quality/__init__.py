"""How good labels are: votes as arrays, agreement, annotators, groups, and what to do about each."""
