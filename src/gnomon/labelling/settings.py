"""How a project asks: each setting with its unit and meaning."""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from gnomon.records import Source

Role = Literal["admin", "adjudicator", "annotator", "viewer"]
Permission = Literal["label", "adjudicate", "read", "manage"]
Purpose = Literal["ordinary", "gold", "qualification", "topic", "probe"]
"""What an item is for; a topic has no answers: a dialogue about it makes them."""
ProbeKind = Literal["sycophancy", "length"]
"""What the two versions of a probe differ in: what the user says to believe, or which answer is padded."""
LabelSource = Literal["vote", "adjudicated"]
"""What a label is: one of several voices, or a decision by somebody who saw them all."""
Event = Literal["item.finished", "project.finished"]
"""What webhooks are told of."""
EVENTS: tuple[Event, ...] = get_args(Event)

GRANTS: dict[Role, frozenset[Permission]] = {
    "admin": frozenset({"label", "adjudicate", "read", "manage"}),
    "adjudicator": frozenset({"label", "adjudicate"}),
    "annotator": frozenset({"label"}),
    "viewer": frozenset({"read"}),
}
"""What each role may do. Those who label may not read, since what is read says which model wrote what;
nor may those who adjudicate."""

STRENGTHS = ("slightly", "somewhat", "clearly", "much")
"""How much better, from 1 to 4."""

MOST_RANKED = 9
"""Answers that one ranking has at most."""

LONGEST_MESSAGE = 8000
"""Characters of a message in a dialogue, at most."""

FLAGS = ("harmful", "refuses", "wrong", "off-topic", "unreadable")
"""What an answer can be marked as, beside being better or worse."""


class ProjectSettings(BaseModel):
    """How tasks are given out in a project."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["judging", "dialogue"] = Field(
        "judging", description="whether people judge what was imported, or answers to what they write"
    )
    overlap: int = Field(1, ge=1, le=100, description="people who judge each item, or talk about each topic")
    lease_minutes: float = Field(
        30, gt=0, le=7 * 24 * 60, description="time to judge before others are asked"
    )
    gold_rate: float = Field(0.05, ge=0, le=1, description="share of tasks with a known answer")
    repeat_rate: float = Field(0.05, ge=0, le=1, description="share of own tasks asked again, sides swapped")
    repeat_gap: int = Field(
        10, ge=1, description="tasks between a judgement and its repeat, or a probe and its other version"
    )
    probe_rate: float = Field(0.1, ge=0, le=1, description="share of tasks that are probes, where there are")
    qualification_pass: float = Field(
        0.8, ge=0, le=1, description="share of the qualification round that must be right"
    )
    source: Source = Field("person", description="who judges here, which every exported label says")
    adjudicate: Literal["opposed", "different", "never"] = Field(
        "opposed",
        description="votes that want a decision: each answer preferred by somebody, or not all the same",
    )
    adjudicate_flagged: bool = Field(True, description="whether pairs with a flag want a decision as well")
    turns: int = Field(6, ge=1, le=100, description="messages that a person writes in one dialogue, at most")
    answer_tokens: int = Field(256, ge=1, le=8192, description="tokens of an answer in a dialogue, at most")
    temperature: float = Field(1.0, gt=0, le=10, description="at which answers in a dialogue are drawn")

    @property
    def votes(self) -> int:
        """Votes that an ordinary item wants: in a dialogue, that of the person who leads it."""
        return 1 if self.kind == "dialogue" else self.overlap
