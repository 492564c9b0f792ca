"""What a road's summary warns of by itself."""

from gnomon.pipeline.summary import refusing


def refusals(low: float, value: float, high: float) -> dict[str, dict[str, float]]:
    return {"over_refusal": {"value": value, "low": low, "high": high}}


def test_a_model_that_refuses_harmless_prompts_beyond_doubt_is_warned_of():
    models = {
        "base": {},
        "sft": refusals(0.15, 0.19, 0.24),
        "policy": refusals(0.08, 0.12, 0.17),
        "constitutional": refusals(0.01, 0.03, 0.05),
    }
    (said,) = refusing(models)
    assert said.startswith("Instruction-tuned: 19% of the prompts that ask for no harm are refused (95 %")
    assert "15% to 24%" in said
