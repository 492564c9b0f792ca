"""Gnomon's models in inspect_ai, as `gnomon/REF`. Needs the extra `inspect`."""

import asyncio
from functools import partial
from itertools import count
from typing import Any

from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelOutput, ModelUsage

from gnomon.errors import ConfigError
from gnomon.evaluation.adapters.chats import DEFAULT_TOKENS, answers, request
from gnomon.evaluation.adapters.gathering import Gathering
from gnomon.models.load import load
from gnomon.rollouts.decoding import DEFAULT
from gnomon.rollouts.local import LocalEngine

TOGETHER = DEFAULT.rows
"""Requests under way at once, which are answered in as few lots as they come in."""


class GnomonAPI(ModelAPI):  # type: ignore[misc]  # inspect_ai's types are not looked at
    """A model by its reference; `dtype` and `device` may be given as arguments of the model (`-M`)."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        **model_args: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        strange = sorted(model_args.keys() - {"dtype", "device"})
        if strange:
            raise ConfigError(f"gnomon/{model_name} takes no {', '.join(strange)}, but dtype and device")
        self.engine = LocalEngine(load(model_name, **model_args))
        self._gathering = Gathering(partial(answers, self.engine), TOGETHER)
        self._seeds = count()

    async def generate(
        self, input: list[ChatMessage], tools: list[Any], tool_choice: Any, config: GenerateConfig
    ) -> ModelOutput:
        """The answer to a conversation; where no seed is given each request has one of its own."""
        if tools:
            raise ConfigError("Gnomon's models call no tools; ask them another task")
        seed = next(self._seeds) if config.seed is None else config.seed
        asked = request(self.engine, input, config, seed)
        answer = await asyncio.wrap_future(self._gathering.ask(asked))
        output = ModelOutput.from_content(self.model_name, answer.text, stop_reason=answer.why)
        output.usage = ModelUsage(
            input_tokens=answer.read, output_tokens=answer.sampled, total_tokens=answer.read + answer.sampled
        )
        return output

    def max_tokens(self) -> int:
        """The longest answer where a task does not say."""
        return DEFAULT_TOKENS

    def max_connections(self) -> int:
        """Requests under way at once."""
        return TOGETHER

    def collapse_user_messages(self) -> bool:
        """Turns of one side in a row are one turn: templates alternate."""
        return True

    def collapse_assistant_messages(self) -> bool:
        """As for the user's."""
        return True

    def close(self) -> None:
        """End the thread that answers."""
        self._gathering.close()
