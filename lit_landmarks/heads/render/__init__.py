"""The renderer: a head's mesh, lit and painted, with a z-buffer in plain torch."""

from lit_landmarks.heads.render.renderer import RENDER_VERSION, Renderer

__all__ = ["RENDER_VERSION", "Renderer"]
