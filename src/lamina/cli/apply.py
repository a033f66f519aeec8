"""``lamina predict``, ``encode``, ``sample`` and ``report``: a finished run put to use."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lamina.cli.printing import print_json, say


def predict(options: argparse.Namespace, command: str) -> None:
    from lamina.core.storage import write_bytes
    from lamina.studies.apply import predict as answers

    answer = answers(options.folder, options.data, label=options.label, device=options.device)
    if options.json:
        print_json(answer)
        return
    header = ",".join(["predicted", *(_csv(f"p({name})") for name in answer["classes"])])
    pairs = zip(answer["predicted"], answer["probabilities"], strict=True)
    rows = [f"{_csv(name)},{','.join(f'{p:.6g}' for p in probabilities)}" for name, probabilities in pairs]
    text = "\n".join([header, *rows]) + "\n"
    if options.out:
        write_bytes(Path(options.out), text.encode())
        print(f"{len(rows)} rows: {options.out}")
    else:
        sys.stdout.write(text)
    if answer["error"] is not None:
        say(f"error against the given labels: {100 * answer['error']:.2f} %")


def _csv(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text


def encode(options: argparse.Namespace, command: str) -> None:
    from lamina.core.storage import write_array
    from lamina.studies.apply import encode as codes_of

    codes = codes_of(options.folder, options.data, layer=options.layer, label=options.label, device=options.device)
    out = Path(options.out or "codes.npy")
    write_array(out, codes)
    answer = {"out": str(out), "shape": list(codes.shape)}
    print_json(answer) if options.json else print(f"{codes.shape[0]} rows of {codes.shape[1]} features: {out}")


def sample(options: argparse.Namespace, command: str) -> None:
    from lamina.core.storage import write_array
    from lamina.studies.sampling import draw

    drawn = draw(
        options.folder,
        options.n,
        steps=options.steps,
        clamp=options.clamp or (),
        stage=options.stage,
        seed=options.seed,
        device=options.device,
    )
    out = Path(options.out or ("samples.png" if options.grid else "samples.npy"))
    if options.grid:
        from lamina.report.picture import write_grid

        write_grid(out, drawn.rows, drawn.shape)
    else:
        write_array(out, drawn.rows)
    n, width = drawn.rows.shape
    answer = {"out": str(out), "shape": [n, width]}
    print_json(answer) if options.json else print(f"{n} samples of {width} values: {out}")


def report(options: argparse.Namespace, command: str) -> None:
    from lamina.report import write_report

    page = write_report(options.folder)
    print_json({"report": str(page)}) if options.json else print(f"report: {page}")
