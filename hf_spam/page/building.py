"""The page as a Gradio app. Importing this module imports Gradio, which takes seconds."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.events import api

from ..errors import UserError, one_line, shorten
from ..serving.settings import Settings
from .door import GradioPage
from .files import score_file
from .record import read_record
from .scoring import Messages
from .showing import (
    show_counts,
    show_error,
    show_note,
    show_reasons,
    show_record,
    show_verdict,
    shown,
)
from .threshold import Validation, validate

EXAMPLES = [
    "You have won a weekend for two! Reply YES to claim it",
    "Parcel on hold: pay 1.99 at http://parcel.example today",
    "I'm on the train, home at seven. Shall I bring bread?",
    "Can you send me the notes from the meeting?",
]
_AT_ONCE = 4  # messages and files that are worked on, of all visitors; further ones wait
_WAITING = 64
_FILES_LIVE = (600, 3600)  # seconds: how often Gradio looks for old files, and from which age on they go


def build_page(
    messages: Messages, settings: Settings, model: str, place: Path, page: GradioPage, folder: Path
) -> FastAPI:
    """Return the app.

    Args:
        messages: What scores.
        settings: What the server is told.
        model: The model as the user named it.
        place: Its folder.
        page: What the app stands behind.
        folder: Where files may lie for a while.
    """
    handlers = _Handlers(messages, model, place, page, folder)
    title = f"{shorten(one_line(settings.name), 100)} · hf_spam"
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=_FILES_LIVE) as blocks:
        labels = ", ".join(messages.task.names[:10]) + (" …" if len(messages.task.names) > 10 else "")
        gr.HTML(
            f"<h1>{shown(settings.name)}</h1><p>A classifier of {shown(labels)}. Programs ask the same server: "
            f'<a href="docs">see how</a></p>',
            elem_classes="hs-title",
        )
        with gr.Tabs():
            with gr.Tab("Message"):
                _message_tab(handlers)
            with gr.Tab("File"):
                _file_tab(handlers)
            if not messages.is_number:
                with gr.Tab("Threshold") as tab:
                    _threshold_tab(handlers, tab)
            with gr.Tab("Run"):
                gr.HTML(show_record(read_record(place, len(messages.task.names)), messages.task.names))
        api(handlers.classify, api_name="classify", concurrency_limit=_AT_ONCE)
    blocks.queue(max_size=_WAITING)
    theme = gr.themes.Base(primary_hue="indigo", font=["system-ui", "sans-serif"], font_mono=["monospace"]).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_300",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
    )
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    return gr.mount_gradio_app(
        app,
        blocks,
        "/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=settings.limits.max_upload,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=theme,
        css=(Path(__file__).parent / "page.css").read_text(encoding="utf-8"),
    )


class _Handlers:
    """What happens when somebody does something."""

    def __init__(self, messages: Messages, model: str, place: Path, page: GradioPage, folder: Path) -> None:
        self.messages = messages
        self._model = model
        self._place = place
        self._page = page
        self._folder = folder
        self._validating = asyncio.Lock()
        self._validation: Validation | str | None = None

    async def judge(self, message: str) -> AsyncIterator[tuple[str, str]]:
        """Show what a message is, then why."""
        messages = self.messages
        try:
            verdict = await messages.judge(message)
        except UserError as error:
            yield show_error(error), ""
            return
        found = show_verdict(
            verdict, messages.point, messages.has_several, messages.is_number, messages.classifier.max_length
        )
        yield found, show_note("Weighing the words …")
        try:
            yield found, show_reasons(message, await messages.explain(message))
        except UserError as error:
            yield found, show_note(error)

    async def classify(self, message: str) -> dict[str, Any]:
        """Return the label of a message, its score, those of all labels, the decision, and each word's weight."""
        try:
            verdict = await self.messages.judge(message)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None
        label, score = verdict.scores[0]
        answer = {"label": label, "score": score, "scores": dict(verdict.scores), "decision": verdict.decision}
        try:
            reasons = await self.messages.explain(message)
        except UserError:
            return answer
        explanation = asdict(reasons.explanation) | {"total": reasons.total, "difference": reasons.difference}
        return {**answer, "explanation": explanation}

    async def score(
        self,
        file: str | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008, how Gradio is asked for one
    ) -> AsyncIterator[tuple[str, Any]]:
        """Score the messages of a file; return what is said of it, and the file to download as 'value'."""
        nothing = gr.DownloadButton(visible=False)
        if file is None:
            yield show_error("expected a file, found none. Choose one."), nothing
            return
        source = Path(file)

        def advance(done: int, total: int) -> None:
            progress(done / total if total else 1.0, desc=f"{done:,} of {total:,} rows")

        place = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._folder))
        try:
            target, count = await score_file(
                self.messages, source, source.name, place, advance, lambda: self._page.is_stopping
            )
            button = gr.DownloadButton(value=str(target), visible=True)  # Gradio copies the file
            yield f'<p class="hs-label" role="status">{count:,} messages scored</p>', button
        except UserError as error:
            yield show_error(error), nothing
        finally:
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)

    async def open_threshold(self, label: str, threshold: float) -> tuple[str, Any, Any]:
        """Score the validation split, if nobody has yet."""
        async with self._validating:
            if self._validation is None:
                try:
                    self._validation = await validate(self.messages, self._model, self._place)
                except UserError as error:
                    self._validation = f"The run's validation split is not at hand. {error}"
        is_there = isinstance(self._validation, Validation)
        choice = gr.Dropdown(visible=is_there and not self.messages.task.is_binary)
        return self.count(label, threshold), gr.Slider(visible=is_there), choice

    def count(self, label: str, threshold: float) -> str:
        """Show what a threshold does."""
        if not isinstance(self._validation, Validation):
            return show_note(self._validation or "")
        if label not in self._validation.names:
            return show_error("expected one of the labels, found another.")
        return show_counts(self._validation.at(threshold, label), threshold, self.messages.task.is_spam)


def _message_tab(handlers: _Handlers) -> None:
    box = gr.Textbox(
        label="Message",
        lines=4,
        max_lines=12,
        max_length=handlers.messages.limits.max_chars,
        placeholder="Type or paste a message",
        info="Shift and Enter classify it",
        elem_id="message",
    )
    button = gr.Button("Classify", variant="primary")
    found = gr.HTML(elem_classes="hs-found", elem_id="found")
    reasons = gr.HTML(elem_id="reasons")
    gr.Examples([[text] for text in EXAMPLES], [box], label="Examples")
    gr.on(
        [button.click, box.submit],
        handlers.judge,
        [box],
        [found, reasons],
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
        concurrency_limit=_AT_ONCE,
    )


def _file_tab(handlers: _Handlers) -> None:
    limits = handlers.messages.limits
    gr.HTML(
        show_note(
            f"A CSV, TSV, JSONL, Excel or Parquet file, or a message on each line; at most {limits.max_rows:,} rows "
            f"and {limits.max_upload / 1e6:,.3g} MB. It comes back with its columns, and label and score beside them."
        )
    )
    file = gr.File(label="File of messages", file_count="single", type="filepath", height=160)
    button = gr.Button("Score the file", variant="primary")
    status = gr.HTML(elem_id="scored", min_height=60)
    download = gr.DownloadButton("Download the scored file", visible=False, elem_id="download")
    button.click(
        handlers.score,
        [file],
        [status, download],
        api_name="score_file",
        show_progress_on=[status],
        concurrency_limit=_AT_ONCE,
        concurrency_id="files",
    )


def _threshold_tab(handlers: _Handlers, tab: gr.Tab) -> None:
    task = handlers.messages.task
    counts = gr.HTML(show_note("Scoring the run's validation split …"), elem_id="counts")
    label = gr.Dropdown(
        list(task.names),
        value=task.positive or task.names[0],
        label="Label that is caught",
        visible=False,
        filterable=len(task.names) > 20,
    )
    slider = gr.Slider(0, 1, value=0.5, step=0.005, label="Threshold of its score", visible=False)
    tab.select(
        handlers.open_threshold,
        [label, slider],
        [counts, slider, label],
        api_visibility="private",
        show_progress="hidden",
        concurrency_limit=_AT_ONCE,
    )
    gr.on(
        [slider.change, label.change],
        handlers.count,
        [label, slider],
        [counts],
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
        concurrency_limit=_AT_ONCE,
    )
