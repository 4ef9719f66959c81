"""A callback that adds values to the config and the summary of the W&B run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback


class Observer(Callback):
    """Callback that observes a fit for its caller, such as a study; subclasses override hooks."""

    def describe_run(self) -> dict[str, Any]:
        """Values for the config of the W&B run, added when the run opens."""
        return {}

    def begin_run(self, costs: Mapping[str, float]) -> dict[str, Any]:
        """Values for the summary of the W&B run, added when the run opens.

        Args:
            costs: `compute/...` of the method, which are known before anything is trained.
        """
        return {}

    def summarize_run(
        self, metrics: Mapping[str, float], error: BaseException | None
    ) -> tuple[dict[str, Any], bool]:
        """Values for the summary of the W&B run, added when the run closes.

        Args:
            metrics: final metrics, empty if there are none.
            error: what ended the fit early, or None.

        Returns:
            The addition, and whether the run ended as it should: only then does W&B show it as
            finished.
        """
        return {}, error is None
