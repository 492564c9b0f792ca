"""Other people's harnesses on our models, and our suites in their form."""
