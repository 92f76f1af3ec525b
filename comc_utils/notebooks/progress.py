"""What a run prints."""

from __future__ import annotations

from pathlib import Path


def say(name: str, what: str) -> None:
    """Print a line on a notebook, in one piece, for several threads print."""
    print(f"  {name:<24} {what}\n", end="", flush=True)


def readable(path: Path) -> str:
    """Name a path from the working folder where it lies in it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def duration(seconds: float) -> str:
    """Write a time in minutes and seconds."""
    return f"{int(seconds) // 60:3d} min {seconds % 60:4.1f} s"
