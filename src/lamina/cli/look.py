"""``lamina data`` and ``bench``: look at data sets and at this machine's speed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from lamina.cli.printing import print_json


def data(options: argparse.Namespace, command: str) -> None:
    from lamina import data as sets

    if options.name is None:
        known = {name: sets.describe(name) for name in sets.names()}
        if options.json:
            print_json(known)
            return
        for name, about in known.items():
            where = about.get("folder") or "not here: 'lamina data NAME --fetch' downloads it"
            print(f"{name:10}{about['what']} ({where})")
        return
    named = options.name in sets.names() and not Path(options.name).exists()
    answer: dict = dict(sets.describe(options.name)) if named else {}
    if not named or options.fetch or answer.get("folder") or not answer.get("files"):
        answer |= _look_at(sets.load(options.name) if named else sets.read(options.name, label=options.label))
    if options.json:
        print_json(answer)
        return
    for key, value in answer.items():
        print(f"{key:14}{value if not isinstance(value, (dict, list)) else json.dumps(value, ensure_ascii=False)}")


def _look_at(dataset: Any) -> dict:
    from lamina.core.checks import value_range

    low, high = value_range(dataset.X) if dataset.X.dtype.kind in "fiub" else (None, None)
    labelled = 0 if dataset.y is None else int((dataset.y >= 0).sum())
    return {
        "rows": dataset.n_rows,
        "test rows": 0 if dataset.X_test is None else len(dataset.X_test),
        "features": dataset.n_features,
        "shape": list(dataset.shape),
        "values": [low, high],
        "labelled": labelled,
        "classes": list(dataset.classes),
        "groups": 0 if dataset.groups is None else len(set(dataset.groups.tolist())),
    }


def bench(options: argparse.Namespace, command: str) -> None:
    from lamina.studies.benchmark import bench_ais, bench_rbm
    from lamina.studies.map_benchmark import bench_som
    from lamina.studies.network_benchmark import bench_mlp
    from lamina.studies.sparse_benchmark import bench_sparse_coding

    measures = {
        "rbm": bench_rbm,
        "ais": bench_ais,
        "sparse-coding": bench_sparse_coding,
        "som": bench_som,
        "mlp": bench_mlp,
    }
    measure = measures[options.what]
    answer = measure(repeats=options.repeats, seed=options.seed, device=options.device)
    if options.json:
        print_json(answer)
        return
    print(f"{answer['what']} ({answer['threads']} threads, {answer['device']}, median of {answer['repeats']})")
    for batch in answer["batches"]:
        left, right = answer.get("columns", ("ms per step", "× limit"))
        title = f"batch {batch['batch_size']}" + (f", {batch['title']}" if "title" in batch else "")
        print(f"\n{title:38}{left:>14}{right:>10}")
        for row in batch["rows"]:
            print(f"  {row['name']:40}{row['milliseconds']:10.2f}{row['ratio']:10.2f}")
    for note in answer["notes"]:
        print(note)
