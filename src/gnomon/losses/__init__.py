"""Pure functions of tensors: the objectives and their parts."""
