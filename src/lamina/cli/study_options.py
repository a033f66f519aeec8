"""From the command line to the options of a study, or back from the settings of the run that is resumed."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from lamina.core.errors import FileFormatError, SettingError

TUPLES = ("hidden", "layers")  # JSON keeps them as lists


def study_options(options: argparse.Namespace, kind: Any, verb: str) -> tuple[Any, str | None]:
    """The study's options (a dataclass ``kind``) and its run folder; those of a run that is resumed by its folder come
    from its settings."""
    if isinstance(options.resume, str):
        if options.data is not None:
            raise SettingError("--resume RUN takes all settings from the run; expected no data beside it")
        return _resumed(options.resume, kind, verb), options.resume
    if options.data is None:
        raise SettingError(f"no data given; expected a data set's name, a file or a folder: see 'lamina {verb} --help'")
    if options.resume and not options.out:
        raise SettingError("--resume needs to know the run; expected --resume RUN, or --out RUN beside it")
    return kind(**{f.name: getattr(options, f.name) for f in dataclasses.fields(kind)}), options.out


def _resumed(run: str, kind: Any, verb: str) -> Any:
    from lamina.studies.run_folder import read_settings

    settings = read_settings(Path(run))
    made_by = "reproduce" if "recipe" in settings else "compare" if "layers" in settings else "learn"
    if made_by != verb:
        raise SettingError(f"--resume {run}: that run was begun by 'lamina {made_by}'; expected one of 'lamina {verb}'")
    try:
        given = {name: tuple(v) if name in TUPLES and v is not None else v for name, v in settings.items()}
        missing = {f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING} - set(given)
        if missing:
            raise KeyError(*missing)
        return kind(**given)
    except (KeyError, TypeError):
        raise FileFormatError(
            f"{run}/settings.json does not hold the options of 'lamina {verb}': it was altered; restore it"
        ) from None
