"""`open_page`: the page of a server, of which nothing is imported or computed before somebody asks for it."""

from pathlib import Path
from typing import Any

from ..inference.classifier import SpamClassifier
from ..serving.scoring import Scorer
from ..serving.settings import Settings
from .door import GradioPage
from .scoring import Messages


def open_page(classifier: SpamClassifier, scorer: Scorer, settings: Settings, model: str, place: Path) -> GradioPage:
    """Return the page.

    Args:
        classifier: The model.
        scorer: What the server scores with.
        settings: What the server is told.
        model: The model as the user named it.
        place: Its folder.
    """

    def build(folder: Path) -> Any:
        from .building import build_page  # imports Gradio

        return build_page(Messages(classifier, scorer, settings.limits), settings, model, place, page, folder)

    page = GradioPage(build, settings.limits)
    return page
