"""Everything that speaks SQL: the engine, the tables, and one module for each thing that is kept."""
