"""What the JSON of requests and answers holds. It is the description at /api/openapi.json, too."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

DamageClass = Literal[
    "no-damage", "minor-damage", "major-damage", "destroyed", "un-classified", "not-a-building"
]
RowClass = DamageClass | Literal["nothing-missed", "missed-are-drawn"]
DrawnClass = Literal["no-damage", "minor-damage", "major-damage", "destroyed", "un-classified"]

Point = Annotated[
    list[Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]],
    Field(min_length=2, max_length=2, description="x to the right and y down, pixels of the map"),
]
Who = Annotated[str, Field(min_length=1, max_length=200, description="who says so")]

DamageName = Literal["no-damage", "minor-damage", "major-damage", "destroyed"]
Missed = Annotated[int, Field(ge=0, le=1_000_000)]


class Answer(BaseModel):
    """What is sent."""


class Asked(BaseModel):
    """What is received: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid")


class Error(Answer):
    error: str = Field(description="one line: what is wrong, what was expected, what to do")
    offset: int | None = Field(None, description="of an upload: bytes that are there")


class Engine(Answer):
    name: str
    precision: str
    size: list[int] = Field(description="height and width of a window, pixels")


class Health(Answer):
    status: str = Field(description="ok; trouble where no job can be mapped for now")
    trouble: str | None = None
    version: str
    engine: Engine
    waiting: int
    running: str | None
    free_bytes: int


class Limits(Answer):
    upload_bytes: int = Field(description="of one upload, at most")
    types: list[str]
    uploads: int = Field(description="uploads that no job uses, at most")
    token: bool = Field(description="is a token needed here?")


class Pair(Answer):
    name: str
    pre: str
    post: str


class NewUpload(Asked):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "before.tif", "size": 3145728}]}
    )
    name: str = Field(
        min_length=1, max_length=255, description="to be shown; it is never a file's name here"
    )
    size: int = Field(ge=1, le=1 << 50, description="bytes")


class Upload(Answer):
    id: str
    name: str
    size: int
    offset: int = Field(description="bytes that are there: go on from here")


class Offset(Answer):
    offset: int


class Image(Asked):
    """Of an upload, or of a pair in the inbox: one of both."""

    upload: str | None = Field(None, max_length=64)
    pair: str | None = Field(None, max_length=300)


class NewJob(Asked):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"pair": "old-town"},
                {
                    "name": "Old town",
                    "pre": {"upload": "0123456789abcdef0123456789abcdef"},
                    "post": {"upload": "fedcba9876543210fedcba9876543210"},
                },
            ]
        },
    )
    name: str | None = Field(None, min_length=1, max_length=200)
    pre: Image | None = None
    post: Image | None = None
    pair: str | None = Field(None, max_length=300, description="the name of a pair in the inbox")


class Progress(Answer):
    done: int = Field(description="windows")
    of: int = Field(description="windows; 0 where it is not known yet")


class Job(Answer):
    id: str
    name: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    progress: Progress
    created: str
    started: str | None
    ended: str | None
    error: str | None
    notes: list[str] = Field(description="what a person should know of the map")
    corrected: int = Field(
        description="buildings that were drawn, or corrected to another class; found right is none"
    )
    position: int | None = Field(None, description="in the queue, from 1")


class Summary(Answer):
    summary: dict[str, Any] = Field(description="summary.json of the map")
    mapped: dict[str, int] = Field(description="buildings by class, as mapped")
    corrected: dict[str, int] = Field(description="buildings by class, corrections counted in")
    corrections: int
    estimate: dict[str, Any] | None = Field(description="estimate.json, once there is one")
    sample: bool = Field(description="was a sample drawn?")


class LegendEntry(Answer):
    class_: str = Field(alias="class")
    label: str
    colour: str = Field(description="#rrggbb")


class Map(Answer):
    width: int
    height: int
    tile: int
    max_zoom: int = Field(description="where a pixel of the map is a pixel of a tile")
    layers: list[str]
    placed: bool = Field(description="is its place on the ground known?")
    legend: list[LegendEntry]


class Building(Answer):
    id: int
    class_: str = Field(alias="class", description="as mapped")
    corrected: str | None = Field(description="what a person said; the same where it was right")
    confidence: float
    shares: dict[str, float] | None = None
    area_m2: float | None = None
    area_px: int | None = None
    ring: list[list[float]] = Field(description="x and y, pixels of the map")
    centre: list[float] | None
    lon: float | None = None
    lat: float | None = None


class Buildings(Answer):
    total: int
    buildings: list[Building]


class NewCorrection(Asked):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"class": "destroyed", "who": "A. Mapper"}]},
    )
    class_: DamageClass = Field(alias="class")
    who: Who


class NewDrawn(Asked):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "ring": [[10, 10], [30, 10], [30, 25], [10, 25]],
                    "class": "no-damage",
                    "who": "A. Mapper",
                }
            ]
        },
    )
    ring: list[Point] = Field(min_length=3, max_length=10_000)
    class_: DrawnClass = Field(alias="class")
    who: Who


class Correction(Answer):
    id: int
    building: int | None
    old_class: str | None
    new_class: str
    who: str
    when: str = Field(description="UTC, ISO 8601")
    ring: list[list[float]]


class NewSample(Asked):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"n": 200}]})
    n: int = Field(200, le=100_000, description="buildings to check; cells are half as many")
    seed: int = Field(0, le=1 << 53, description="of the draw")


class Row(Answer):
    """Of a sample: a building, or a cell in which missing ones are looked for. What the map says of
    a building is not told here: whoever sees that finds it so."""

    row: int
    kind: Literal["building", "cell"]
    building: int | None
    ring: list[list[float]] = Field(description="x and y, pixels of the map")
    centre: list[float] | None
    true_class: str | None = Field(description="what a person said; null: not checked")
    class_seen: bool | None = Field(
        description="was the map's class in sight when it was checked? null: nobody says"
    )
    missed: dict[str, int] | None = Field(
        description="of a cell, missed buildings by class; null: not checked"
    )
    drawn: dict[str, int] = Field(
        description="buildings by class that were drawn in a cell since the sample was"
    )
    conflict: str | None = Field(
        description="one line, where the row and the corrections contradict each other; such a "
        "row is not checked"
    )


class Sample(Answer):
    id: str = Field(description="the same where the same rows were drawn")
    rows: list[Row]
    checked: int
    of: int


class NewCheck(Asked):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"class": "destroyed", "class_seen": False, "who": "A. Mapper"},
                {"missed": {"destroyed": 2}, "who": "A. Mapper"},
            ]
        },
    )
    class_: RowClass | None = Field(None, alias="class", description="without both: not checked")
    missed: dict[DamageName, Missed] | None = Field(
        None, description="of a cell, by class; {}: none is missed"
    )
    class_seen: bool | None = Field(
        None, description="was the map's class in sight? null: kept as not known"
    )
    who: Who = Field(description="kept with the correction of a building")
    sample: str | None = Field(
        None, max_length=64, description="id of the sample; refused where another was drawn since"
    )


class File(Answer):
    name: str
    bytes: int
