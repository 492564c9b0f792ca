"""Gnomon's models in lm-evaluation-harness, under the name `gnomon`. Needs the extra `lm-eval`."""

from collections.abc import Sequence
from typing import Any

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from gnomon.evaluation.adapters.texts import Progress, Texts
from gnomon.models.load import load
from gnomon.rollouts.local import LocalEngine


class GnomonLM(LM):  # type: ignore[misc]  # the harness's types are not looked at
    """A model by its reference, as in `model="gnomon", model_args="model=path:DIR"`, or one that is loaded.

    The harness hands over batch sizes whether asked or not; here batches follow from the rows' lengths.
    """

    def __init__(
        self,
        model: str | LocalEngine,
        dtype: str = "bfloat16",
        device: str | None = None,
        batch_size: object = None,
        max_batch_size: object = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__()
        engine = LocalEngine(load(model, dtype=dtype, device=device)) if isinstance(model, str) else model
        self.texts = Texts(engine, progress)

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Of each (context, continuation): log-prob in nats, and whether it is what greedy sampling gives."""
        return self.texts.likelihoods([request.args[:2] for request in requests])

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Log-prob in nats of each whole text."""
        return self.texts.rolling([request.args[0] for request in requests])

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """What follows each context, up to the texts its settings stop at."""
        asked = [request.args[:2] for request in requests]
        return self.texts.continuations([text for text, _ in asked], [settings for _, settings in asked])

    def apply_chat_template(
        self,
        chat_history: list[dict[str, str]],
        add_generation_prompt: bool = True,  # noqa: FBT001  the harness's signature
    ) -> str:
        """A conversation as text, under the model's own template or, where it has none, Gnomon's."""
        return self.texts.render(chat_history, answering=add_generation_prompt)

    def chat_template(self, chat_template: bool | str = False) -> str:  # noqa: FBT001  the harness's signature
        """The template itself, for the record."""
        return str(self.texts.lm.tokenizer.chat_template)

    @property
    def tokenizer_name(self) -> str:
        """What the harness tells caches of different models apart by."""
        return self.texts.lm.ref


register_model("gnomon")(GnomonLM)
