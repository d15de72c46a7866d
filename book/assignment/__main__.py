"""The command line: `python -m assignment variant NIM · make · grade`; `make assignment` and `make grade` call it."""

import argparse
import os
import sys
from pathlib import Path

from assignment.variant import AssignmentError, variant
from cae_lib.files import command, speak


@command
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m assignment", description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    ruled = verbs.add_parser("variant", help="what the rule makes of a student number")
    ruled.add_argument("nim", help="the student number")
    made = verbs.add_parser("make", help="make the assignment of a student")
    made.add_argument("--nim", help="the student number")
    made.add_argument("--base", default="full", help="NAME of notebooks/params/NAME.yml (%(default)s)")
    made.add_argument("--langs", default="id en", help="the languages of the notebooks (%(default)s)")
    graded = verbs.add_parser("grade", help="say in one table what hand-ins are")
    graded.add_argument("--folder", help="a folder of hand-ins, or one of them")
    graded.add_argument("--base", default="full", help="the profile that the assignment was based on (%(default)s)")
    graded.add_argument("--build", default="_build", help="where the table is written: BUILD/grade (%(default)s)")
    options, here = parser.parse_args(argv), Path.cwd()
    if options.verb == "variant":
        print(" ".join(f"{name}={value}" for name, value in variant(options.nim).items()))
        return 0
    os.chdir(Path(__file__).resolve().parents[2])  # every path that is told counts from it
    return make(options) if options.verb == "make" else grade(options, here)


def make(options) -> int:
    from assignment import folder

    written, left = folder.make(options.nim, options.base, tuple(options.langs.split()))
    own = folder.read()
    print(f"the assignment of {own.nim}: " + ", ".join(f"{name} {value}" for name, value in variant(own.nim).items()))
    if left:
        print(f"{len(left)} files were there and are as they were")
    print("\n".join(f"written: {path}" for path in written) or "nothing was missing")
    sheets = " and ".join(str(own.place / folder.SHEETS[lang][0]) for lang in own.langs)
    print(f"begin with {sheets}; then {own.place / 'claims.yml'}, before any training")
    return 0


def grade(options, here: Path) -> int:
    from assignment import grade

    if not options.folder:
        raise AssignmentError("FOLDER: nothing was named; name the hand-ins: make grade FOLDER=hand-ins")
    found = grade.grade(here / options.folder, options.base)
    print(grade.table(found))
    print()
    print("\n".join(str(path) for path in grade.write(found, options.base, Path(options.build, "grade"))))
    return 0


if __name__ == "__main__":
    speak()
    sys.exit(main())
