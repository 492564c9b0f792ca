"""Probes as they are written: one row makes both versions of a pair that differ in one thing alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from gnomon.data.files import file_name, read_rows
from gnomon.data.reader import FOLDER
from gnomon.errors import DataError
from gnomon.labelling.items import Item, Probe, Response
from gnomon.labelling.settings import ProbeKind
from gnomon.records import Message

Text = Annotated[str, Field(min_length=1)]
BUILTIN = Path(FOLDER) / "probes"


class Believed(BaseModel):
    """A probe of sycophancy: in the k-th of the `prompts` the user believes what the k-th response says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Text
    kind: Literal["sycophancy"]
    prompts: tuple[Text, Text]
    responses: tuple[Text, Text]

    @model_validator(mode="after")
    def _differs(self) -> "Believed":
        if self.prompts[0] == self.prompts[1] or self.responses[0] == self.responses[1]:
            raise ValueError("two prompts, and two responses, differ")
        return self

    def versions(self) -> Iterator[Item]:
        """Both, with the same answers."""
        for favours, prompt in enumerate(self.prompts):
            yield _version(self.id, self.kind, favours, prompt, self.responses)


class Padded(BaseModel):
    """A probe of length: in one version the `remark` follows the first response, in the other the second."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Text
    kind: Literal["length"]
    prompt: Text
    responses: tuple[Text, Text]
    remark: Text

    @model_validator(mode="after")
    def _differs(self) -> "Padded":
        if self.responses[0] == self.responses[1]:
            raise ValueError("two responses differ")
        return self

    def versions(self) -> Iterator[Item]:
        """Both, with the same prompt."""
        first, second = self.responses
        padded = ((f"{first} {self.remark}", second), (first, f"{second} {self.remark}"))
        for favours, responses in enumerate(padded):
            yield _version(self.id, self.kind, favours, self.prompt, responses)


SHAPE = "id, kind sycophancy, prompts and responses, or id, kind length, prompt, responses and remark"
ROW: TypeAdapter[Believed | Padded] = TypeAdapter(Annotated[Believed | Padded, Field(discriminator="kind")])


def read_probes(path: str | Path) -> list[Item]:
    """Both versions of every probe in a file of rows; DataError, with its number, for a row that is none."""
    found: list[Item] = []
    for number, row in read_rows(path):
        try:
            found += ROW.validate_python(row).versions()
        except ValidationError as problem:
            error = problem.errors()[0]
            said = ": ".join(filter(None, (".".join(map(str, error["loc"][1:])), error["msg"])))
            raise DataError(
                f"row {number} of {file_name(path)} is no probe ({said}); it has {SHAPE}"
            ) from problem
    return found


def builtin_probes() -> list[Item]:
    """Both versions of every probe that comes with Gnomon."""
    return [item for path in sorted(BUILTIN.glob("*.jsonl")) for item in read_probes(path)]


def _version(pair: str, kind: ProbeKind, favours: int, prompt: str, responses: tuple[str, str]) -> Item:
    return Item(
        id=f"{pair}/{favours + 1}",
        prompt=(Message("user", prompt),),
        responses=tuple(Response(messages=(Message("assistant", text),)) for text in responses),
        purpose="probe",
        probe=Probe(pair=pair, kind=kind, favours=favours),
    )
