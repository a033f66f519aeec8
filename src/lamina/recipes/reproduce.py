"""Run one recipe in a run folder: settings first, then its stages, at the end results, records and what to print.

======================== ===========================================================================================
file                     what
======================== ===========================================================================================
``settings.json``        recipe, quick, seed, device: written first
``stages/``, ``memo/``   models, checkpoints and values that are made once
``clock.json``           wall seconds so far
``results.json``         numbers beside the published ones, deviations, seconds, seeds, environment
``records.*``            the same and the figures, for the report
======================== ===========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lamina.core.checks import check_device, check_number
from lamina.core.errors import RunFolderError
from lamina.core.figures import pack
from lamina.core.storage import plain, read_json, write_arrays, write_json
from lamina.recipes.catalogue import Entry, find
from lamina.recipes.context import Context, Listener, Say
from lamina.recipes.record import Measured, Outcome
from lamina.studies.diagnose import diagnose
from lamina.studies.environment import environment, peak_megabytes
from lamina.studies.run_folder import open_run, read_settings


def reproduce(
    name: str,
    *,
    quick: bool = False,
    seed: int = 0,
    device: str | None = None,
    out: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    say: Say | None = None,
    listener: Listener | None = None,
    command: str = "",
) -> dict:
    """Run the recipe ``name`` and return what ``results.json`` holds, plus ``run``, the folder.

    ``out`` is a new folder, or with ``resume`` the one to go on in: by default a fresh ``runs/NAME`` (``-quick``
    appended), or the one begun last. A run that has ended is not run again: its results are read back.

    Raises `UnknownNameError` for a name that is not in the catalogue, and what the recipe itself raises.
    """
    entry = find(name)
    check_number("--seed", seed, low=0, integer=True)
    check_device(device)
    settings = {"recipe": name, "quick": quick, "seed": seed, "device": device}
    title = f"{name}-quick" if quick else name
    folder = open_run(
        out or (begun_last(title) if resume else None), title, settings, overwrite=overwrite, resume=resume
    )
    if not (folder / "results.json").is_file() or not (folder / "records.json").is_file():
        context = Context(folder, quick=quick, seed=seed, device=device, say=say, listener=listener)
        _run(entry, context, command)
    return {**read_json(folder / "results.json"), "run": str(folder)}


def begun_last(title: str, parent: Path = Path("runs")) -> str:
    """The folder ``runs/TITLE`` or ``runs/TITLE-K`` with the largest K; `RunFolderError` where there is none."""
    found = {parent / title: 1}
    for path in parent.glob(f"{title}-*"):
        number = path.name.removeprefix(f"{title}-")
        if number.isdecimal():
            found[path] = int(number)
    begun = [path for path in found if (path / "settings.json").is_file()]
    if not begun:
        raise RunFolderError(f"{parent / title} is no run to resume; expected one that was begun: leave --resume out")
    return str(max(begun, key=lambda path: found[path]))


def settings_of(folder: str | Path) -> dict:
    """Name, quick, seed and device of the recipe that was begun in ``folder``."""
    settings = read_settings(Path(folder))
    if "recipe" not in settings:
        raise RunFolderError(f"{folder} is a run of 'lamina learn'; expected one of 'lamina reproduce' to resume")
    return {"name": settings["recipe"], **{key: settings.get(key) for key in ("quick", "seed", "device")}}


def _run(entry: Entry, context: Context, command: str) -> None:
    try:
        outcome: Outcome = entry.module.run(context)
    finally:
        context.clock.save()
    results = _results(entry, context, outcome)
    write_json(context.folder / "results.json", results)
    figures, arrays = pack(outcome.figures)
    if arrays:
        write_arrays(context.folder / "records.safetensors", arrays)
    shared = {key: value for key, value in results.items() if key not in ("results", "recipe")}
    document: dict[str, Any] = {"kind": "recipe", "name": entry.name, "about": entry.about, "command": command}
    document |= {**shared, "measured": results["results"], "figures": figures}
    document |= {"settings": {"quick": context.quick, "device": context.device or "cpu"}}
    if (context.folder / "metrics.jsonl").is_file():
        document |= {"diagnosis": diagnose(context.folder).to_dict()}
    write_json(context.folder / "records.json", {**document, "memory": {"peak_mb": peak_megabytes()}})


def _results(entry: Entry, context: Context, outcome: Outcome) -> dict:
    found = environment(context.device)
    return plain(
        {
            "recipe": entry.name,
            "results": beside_published(outcome.results, entry.published),
            "deviations": list(outcome.deviations),
            "seconds": round(context.clock.seconds, 1),
            "seeds": list(outcome.seeds),
            "quick": context.quick,
            "title": entry.title,
            "paper": entry.paper,
            "notes": list(outcome.notes),
            "lamina": found.pop("lamina"),
            "environment": found,
        }
    )


def beside_published(results: Sequence[Measured], published: Sequence[dict]) -> list[dict]:
    """Each measured number as a document, with the published one of the same ``what``, its source, and whether that
    was read or is quoted from memory."""
    known = {row["what"]: row for row in published}
    documents = []
    for result in results:
        document = asdict(result)
        row = known.get(result.what)
        if row is not None:
            document |= {"source": row.get("source", ""), "read": row.get("read", "memory")}
            if document["published"] is None:
                document["published"] = row.get("published")
        documents.append(document)
    return documents
