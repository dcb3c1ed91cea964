"""`build_app`: a classifier as a web application. `GET /` is left to a page that is mounted there."""

import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException as AnyHTTPException

from ..data.labels import task_of_config
from ..errors import UserError, one_line, shorten
from ..inference.classifier import SpamClassifier
from . import shapes
from .answering import classified, decided, ranked, transform
from .describing import docs_page
from .guarding import Guard, Page
from .metrics import Metrics
from .reading import check_texts, read_request
from .scoring import Busy, Scored, Scorer
from .settings import Settings

_FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": shapes.Failure, "description": what}
    for status, what in {
        400: "no JSON, or cut off",
        401: "without the key",
        404: "another model",
        408: "too slow",
        413: "too large",
        415: "not sent as JSON",
        422: "of another shape",
        503: "too much waits",
    }.items()
}


def build_app(
    classifier: SpamClassifier, settings: Settings, make_page: Callable[[Scorer], Page] | None = None
) -> FastAPI:
    """Return the application: its routes answer with the classifier, in a thread that lives as long as the app.

    Args:
        classifier: The model.
        settings: What the server is told.
        make_page: Returns a page that scores with what the app scores with. It is then `app.state.page`.
    """
    metrics = Metrics(settings.many)
    scorer = Scorer(classifier, settings.limits.max_queue, settings.max_latency_ms / 1000, metrics)
    page = None if make_page is None else make_page(scorer)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        scorer.start()
        yield
        if page is not None:
            await page.close()
        await anyio.to_thread.run_sync(scorer.close)

    app = FastAPI(
        title=f"hf_spam: {settings.name}",
        version=version("hf-spam"),
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # it may record bodies
    )
    app.add_exception_handler(AnyHTTPException, _refuse)
    app.add_exception_handler(Exception, _fail)
    app.add_middleware(Guard, metrics=metrics, api_key=settings.api_key, page=page)
    app.state.page = page
    _Routes(classifier, settings, scorer, metrics).add_to(app)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    message = error.detail
    if error.status_code == 404 and message == "Not Found":
        message = f"{_shown(request.url.path)}: expected a path that /docs lists, found another."
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        message = f"{_shown(request.url.path)}: expected {allowed}, found {_shown(request.method)}."
    return JSONResponse({"error": message}, error.status_code, error.headers)


async def _fail(request: Request, error: Exception) -> Response:
    reason = str(error) if isinstance(error, UserError) else "the server has a defect; its log has the place."
    return JSONResponse({"error": reason}, 500)


def _shown(text: str) -> str:
    return shorten(one_line(text), 200)


class _Routes:
    """What each path answers."""

    def __init__(self, classifier: SpamClassifier, settings: Settings, scorer: Scorer, metrics: Metrics) -> None:
        self._classifier = classifier
        self._settings = settings
        self._scorer = scorer
        self._metrics = metrics
        self._task = task_of_config(classifier.config)
        self._labels = classifier.labels

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        rows = list[list[shapes.Score]]
        for path, endpoint, shape, answer in (
            ("/", self.infer, shapes.InferenceRequest, rows),
            ("/models/{name:path}", self.infer_by_name, shapes.InferenceRequest, rows),
            ("/predict", self.predict, shapes.PredictRequest, list[shapes.Score] | rows),
            ("/classify", self.classify, shapes.ClassifyRequest, shapes.ClassifyAnswer),
            ("/decide", self.decide, shapes.DecideRequest, list[shapes.Decided]),
        ):
            extra = shapes.request_schema(shape)
            app.add_api_route(
                path, endpoint, methods=["POST"], response_model=answer, responses=_FAILURES, openapi_extra=extra
            )
        app.add_api_route("/health", self.health, methods=["GET"], response_model=None)
        app.add_api_route("/info", self.info, methods=["GET"], response_model=None)
        app.add_api_route("/metrics", self.metrics, methods=["GET"], response_model=None)

        async def docs() -> Response:
            policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
            return HTMLResponse(docs_page(app.openapi()), headers=policy)

        app.add_api_route("/docs", docs, methods=["GET"], include_in_schema=False)

    async def infer(self, request: Request) -> Response:
        """Every label with its score, the highest first, for each text: the Inference API's text classification."""
        asked = await read_request(request, shapes.InferenceRequest, self._settings.limits)
        wish = asked.parameters or shapes.Parameters(top_k=None, function_to_apply=None)
        found = await self._score(asked.inputs)
        scores = transform(found.logits, wish.function_to_apply, self._classifier)
        return JSONResponse([ranked(row, self._labels, wish.top_k) for row in scores.tolist()])

    async def infer_by_name(self, request: Request, name: str) -> Response:
        """The same for clients that name the model."""
        self._check_name(name)
        return await self.infer(request)

    async def predict(self, request: Request) -> Response:
        """The same in the shape of Text Embeddings Inference: one list for one text, a list of lists for several."""
        asked = await read_request(request, shapes.PredictRequest, self._settings.limits)
        found = await self._score(asked.inputs)
        if found.longer and not asked.truncate:
            raise HTTPException(
                413,
                f"inputs: expected texts of at most {self._classifier.max_length:,} tokens, found {found.longer:,} "
                f'longer. Shorten them, or add "truncate": true.',
            )
        scores = transform(found.logits, "none" if asked.raw_scores else None, self._classifier)
        rows = [ranked(row, self._labels, None) for row in scores.tolist()]
        return JSONResponse(rows[0] if isinstance(asked.inputs, str) else rows)

    async def classify(self, request: Request) -> Response:
        """The likeliest label and all probabilities, in the shape of vLLM."""
        asked = await read_request(request, shapes.ClassifyRequest, self._settings.limits)
        if asked.model is not None:
            self._check_name(asked.model)
        found = await self._score(asked.input)
        tokens = sum(found.lengths)
        answer = shapes.ClassifyAnswer(
            id=f"classify-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=self._settings.name,
            data=classified(self._classifier.to_scores(found.logits).tolist(), self._labels),
            usage=shapes.Usage(prompt_tokens=tokens, total_tokens=tokens),
        )
        return _json(answer)

    async def decide(self, request: Request) -> Response:
        """What becomes of each text: allow, unsure or block, by a model that `hf-spam calibrate` made."""
        asked = await read_request(request, shapes.DecideRequest, self._settings.limits)
        point = self._classifier.operating_point
        if point is None:
            raise HTTPException(424, "expected a model that hf-spam calibrate made, found another. Ask / for scores.")
        found = await self._score(asked.inputs)
        return JSONResponse(decided(self._classifier.to_scores(found.logits).tolist(), self._labels, point))

    async def health(self) -> Response:
        """200 while texts are scored, else 503."""
        if self._scorer.is_running:
            return JSONResponse({"status": "ok"})
        raise HTTPException(503, "expected a running scorer, found it stopped. Start the server again.")

    async def info(self) -> Response:
        """What is served, and within which limits."""
        point = self._classifier.operating_point
        return JSONResponse(
            {
                "model": self._settings.name,
                "kind": self._settings.kind,
                "labels": self._labels,
                "problem_type": self._task.problem_type,
                "max_length": self._classifier.max_length,
                "operating_point": None if point is None else point.to_dict(),
                "limits": self._settings.describe(),
                "version": version("hf-spam"),
            }
        )

    async def metrics(self) -> Response:
        """Counters in Prometheus' text format."""
        return Response(self._metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def _check_name(self, name: str) -> None:
        if name != self._settings.name:
            raise HTTPException(404, f"expected the model {_shown(self._settings.name)}, found {_shown(name)}.")

    async def _score(self, inputs: str | list[str]) -> Scored:
        texts = [inputs] if isinstance(inputs, str) else inputs
        check_texts(texts, self._settings.limits)
        try:
            return await self._scorer.score(texts)
        except Busy as error:
            raise HTTPException(503, f"{error}. Try again in a second.", {"Retry-After": "1"}) from None


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")
