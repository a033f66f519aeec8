"""The command line: parse, call, print. No numerics live here.

Results go to standard output, progress and errors to standard error. An error that Lamina raises on purpose is one line
and exit status 2; Ctrl-C is 130. Inside: `parser` (verbs and options), one file per kind of verb, `printing`.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from lamina.cli.parser import VERBS
from lamina.cli.parser import parser as _parser
from lamina.cli.printing import say as _say
from lamina.core.errors import Interrupted, LaminaError

__all__ = ["VERBS", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command ``lamina``; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(arguments)
    try:
        options.run(options, "lamina " + shlex.join(arguments))
    except Interrupted as stopped:
        _say(f"lamina: {stopped}")
        return 130
    except KeyboardInterrupt:
        _say("lamina: stopped")
        return 130
    except BrokenPipeError:
        return 0
    except LaminaError as error:
        _say(f"lamina: {_one_line(error)}")
        return 2
    except OSError as error:
        _say(f"lamina: {error.filename or 'a file'}: {error.strerror or error}; expected one to read or write")
        return 2
    except MemoryError:
        _say("lamina: out of memory; expected data that fit: pass a .npy file, which is read from disk, or fewer rows")
        return 2
    return 0


def _one_line(error: BaseException) -> str:
    text = str(error.args[0]) if error.args else str(error)
    return " ".join(text.split())
