"""What can go wrong, by kind; each kind has its own exit code (see `EXIT_CODES` and docs/cli.md)."""


class GnomonError(Exception):
    """An error a person can act on: the message says what, where and what to do."""

    exit_code = 1


class ConfigError(GnomonError):
    """A setting, recipe, model reference or option is wrong, or an extra is not installed."""

    exit_code = 2


class DataError(GnomonError):
    """A file or a row cannot be used."""

    exit_code = 3


class ModelError(GnomonError):
    """A model, tokenizer, template or checkpoint cannot be used."""

    exit_code = 4


class DivergenceError(GnomonError):
    """Training produced a non-finite loss or gradient; the batch was saved."""

    exit_code = 5


class StorageError(GnomonError):
    """A file could not be written, or what was written is not what was meant."""

    exit_code = 6


INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM: the run can be continued with the same command."""
