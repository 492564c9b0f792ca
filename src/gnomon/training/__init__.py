"""One loop; what is trained is an objective."""
