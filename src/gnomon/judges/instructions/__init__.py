"""IFEval's 25 kinds of verifiable instruction (arXiv:2311.07911), each a function of the response alone.

What counts as a word, a sentence or a bullet is what the published checkers take for one, so that figures can
be compared; where that is not what a reader would say, the function's docstring tells.
"""
