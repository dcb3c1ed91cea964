"""The requests and the answers as JSON: of the Inference API, of Text Embeddings Inference and of vLLM.

What is wrong with a request is said in a sentence that repeats nothing of its texts.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema

from ..errors import one_line, shorten

_MOST_FAULTS = 3
_STRING, _STRINGS = {"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}


def kind_of(value: object) -> str:
    """Return what a value of JSON is, in words, without the value."""
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return "null" if value is None else kinds.get(type(value), "something else")


def _texts(value: object) -> str | list[str]:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise ValueError(f"expected a string or a list of strings, found {kind_of(value)}")
    if not value:
        raise ValueError("expected a string or a list of strings, found an empty list")
    for number, text in enumerate(value):
        if not isinstance(text, str):
            raise ValueError(f"expected a string or a list of strings, found {kind_of(text)} at position {number}")
    return value


def _batch(value: object) -> str | list[str]:
    """Take `[["text"], ["text"]]` as well, which is how Text Embeddings Inference writes several texts."""
    if isinstance(value, list) and value and all(isinstance(inner, list) for inner in value):
        if any(len(inner) != 1 for inner in value):
            raise ValueError("expected one string in each inner list, found another number: pairs have no label here")
        value = [inner[0] for inner in value]
    return _texts(value)


Texts = Annotated[Any, PlainValidator(_texts), WithJsonSchema({"anyOf": [_STRING, _STRINGS]})]
Batch = Annotated[
    Any,
    PlainValidator(_batch),
    WithJsonSchema({"anyOf": [_STRING, _STRINGS, {"type": "array", "items": {**_STRINGS, "maxItems": 1}}]}),
]
Transform = Literal["softmax", "sigmoid", "none"]


class Parameters(BaseModel):
    """How the Inference API is asked for scores."""

    model_config = ConfigDict(extra="forbid", strict=True)

    top_k: int | None = Field(None, ge=1, description="So many labels, the highest first; by default all.")
    function_to_apply: Transform | None = Field(
        None, description="What turns logits into scores; by default what suits the model."
    )


class InferenceRequest(BaseModel):
    """A request to the Inference API."""

    model_config = ConfigDict(strict=True)

    inputs: Texts = Field(description="A text, or several.")
    parameters: Parameters | None = None


class PredictRequest(BaseModel):
    """A request to Text Embeddings Inference."""

    model_config = ConfigDict(strict=True)

    inputs: Batch = Field(description="A text, or several.")
    raw_scores: bool = Field(False, description="Logits instead of scores.")
    truncate: bool = Field(False, description="Cut longer texts than the model reads; otherwise they are refused.")


class ClassifyRequest(BaseModel):
    """A request to vLLM."""

    model_config = ConfigDict(strict=True)

    model: str | None = Field(None, description="The model's name, if it is given.")
    input: Texts = Field(description="A text, or several.")


class DecideRequest(BaseModel):
    """A request for decisions."""

    model_config = ConfigDict(strict=True)

    inputs: Texts = Field(description="A text, or several.")


class Score(BaseModel):
    """A label and its score."""

    label: str
    score: float


class Classified(BaseModel):
    """What vLLM says of a text."""

    index: int
    label: str
    probs: list[float] = Field(description="In the order of the labels' ids.")
    num_classes: int


class Usage(BaseModel):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: None = None


class ClassifyAnswer(BaseModel):
    """vLLM's answer."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[Classified]
    usage: Usage


class Decided(Score):
    """What becomes of a text."""

    decision: Literal["allow", "unsure", "block"]


class Failure(BaseModel):
    """Why a request was refused: what was expected, what was found."""

    error: str


def request_schema(shape: type[BaseModel]) -> dict[str, Any]:
    """Return the description of a request's body for OpenAPI, without references."""
    schema = shape.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return inline(definitions[node["$ref"].rpartition("/")[2]])
            return {key: inline(value) for key, value in node.items()}
        return [inline(value) for value in node] if isinstance(node, list) else node

    return {"requestBody": {"required": True, "content": {"application/json": {"schema": inline(schema)}}}}


def is_no_json(error: ValidationError) -> bool:
    """Tell whether a body is no JSON at all."""
    return any(fault["type"] == "json_invalid" for fault in error.errors(include_url=False, include_input=False))


def describe_faults(error: ValidationError) -> str:
    """Return what is wrong with a request, in a sentence without its texts."""
    faults = error.errors(include_url=False)
    more = f" (and {len(faults) - _MOST_FAULTS} more)" if len(faults) > _MOST_FAULTS else ""
    return shorten(one_line("; ".join(_describe(fault) for fault in faults[:_MOST_FAULTS]) + more + "."))


def _describe(fault: Mapping[str, Any]) -> str:
    place = ".".join(shorten(str(part), 100) for part in fault["loc"]) or "the body"
    if fault["type"] == "json_invalid":
        return f"the body: expected JSON, found something else ({fault['ctx']['error']})"
    if fault["type"] == "missing":
        return f"{place}: expected a value, found none"
    if fault["type"] == "extra_forbidden":
        return f"{place}: expected {' or '.join(Parameters.model_fields)}, found this name"
    if fault["type"] == "value_error":
        return f"{place}: {fault['ctx']['error']}"
    expected = str(fault["msg"]).removeprefix("Input should be ")
    return f"{place}: expected {expected}, found {kind_of(fault['input'])}"
