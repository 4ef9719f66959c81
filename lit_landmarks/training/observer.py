"""A callback that also has something to tell to W&B when a run opens and closes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback


class Observer(Callback):
    """What a caller, such as a study, watches a fit with; subclasses override what they need."""

    def tracked(self) -> dict[str, Any]:
        """Added to the config of the W&B run when it opens."""
        return {}

    def closing(
        self, metrics: Mapping[str, float], error: BaseException | None
    ) -> tuple[dict[str, Any], bool]:
        """Added to the summary of the W&B run when it closes.

        Args:
            metrics: final metrics, empty if there are none.
            error: what ended the fit early, or None.

        Returns:
            The addition, and whether the run ended as it should: only then does W&B show it as
            finished.
        """
        return {}, error is None
