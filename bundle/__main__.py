# SPDX-License-Identifier: Apache-2.0
"""`script/bundle`: build what is carried to machines without internet, from what git knows of this checkout."""

import argparse
import configparser
import os
import sys
import tempfile
from pathlib import Path

from bundle import linux, windows
from bundle.tree import copy_checkout
from bundle.wheels import ROOT, BundleError


def main() -> int:
    """Build what was asked for; give the exit code."""
    parser = argparse.ArgumentParser(prog="script/bundle", description=__doc__)
    parser.add_argument("--linux", action="store_true", help="the archive for x86-64 and aarch64")
    parser.add_argument("--windows", action="store_true", help="the setup program of the agent; needs makensis (nsis)")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR", help="where to; dist/ by default")
    parser.add_argument(
        "--python", action="append", metavar="X.Y", help=f"for this Python; more than once; {' '.join(linux.PYTHONS)}"
    )
    args = parser.parse_args()
    try:
        build(args)
    except BundleError as err:
        print(f"bundle: {err}", file=sys.stderr)
        return 1
    return 0


def build(args: argparse.Namespace) -> None:
    """Build into `args.out`. Raises: BundleError."""
    args.out = args.out.absolute()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="jinsuo-bundle-") as name:
        work = Path(name)
        source = work / "source"
        when_s = copy_checkout(ROOT, source)
        os.environ["SOURCE_DATE_EPOCH"] = str(when_s)
        version = _version(source)
        if args.linux:
            say(str(linux.build(source, work, args.out, version, when_s, say, args.python or linux.PYTHONS)))
        if args.windows:
            say(str(windows.build(source, work, args.out, version, when_s, say)))


def say(text: str) -> None:
    """Tell how it goes."""
    print(f"bundle: {text}", file=sys.stderr, flush=True)


def _version(source: Path) -> str:
    setup = configparser.ConfigParser()
    setup.read(source / "setup.cfg", encoding="utf-8")
    return setup["metadata"]["version"]


if __name__ == "__main__":
    sys.exit(main())
