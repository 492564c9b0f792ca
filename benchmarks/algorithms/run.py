"""What RLOO, GRPO, PPO and DPO make of the default model from one start, over several seeds."""

import argparse
from pathlib import Path

from gnomon.cli.progress import reporting
from gnomon.kernels.allocator import settle as settle_memory
from gnomon.pipeline.lineage import software
from gnomon.pipeline.sweep import sweep
from gnomon.recipe import load_recipe
from gnomon.runs import write_json
from paired import hardware

HERE = Path(__file__).parent
RECIPES = HERE.parents[1] / "recipes" / "algorithms"
NAMES = ("rloo", "grpo", "ppo", "dpo")


def main() -> None:
    """Walk the recipes and write results.json; it goes on where it was interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs") / "algorithms", help="where runs are kept")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    settle_memory()
    recipes = [load_recipe(RECIPES / f"{name}.yaml") for name in NAMES]
    with reporting() as reporter:
        rows = sweep(recipes, options.seeds, options.runs, reporter)
    write_json(options.out, {"rows": rows, "hardware": hardware(), "software": software()})


if __name__ == "__main__":
    main()
