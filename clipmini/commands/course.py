"""clipmini course"""

from pathlib import Path

EPILOG = """layouts:
  plain      the lessons without solutions and outputs; hints stay, and each check speaks as before
  nbgrader   source/LESSON/LESSON.ipynb for `nbgrader generate_assignment LESSON`; a point for each exercise
  slides     one file for the 90-minute lecture: sections of 00, 05 and 06 with their figures, without exercises
  otter      for `otter assign LESSON.ipynb OUT`; a question for each exercise

  clipmini course class-5b                        hand out class-5b, then: clipmini grade handed-in/*.ipynb
  clipmini course course --layout nbgrader
  clipmini course klasse --lessons lessons/zh     the Chinese edition
  clipmini course lecture.ipynb --layout slides   then: jupyter nbconvert --to slides lecture.ipynb"""


def add(p) -> None:
    """The options."""
    p.add_argument("folder", type=Path, help="where to write, a folder, or a file for slides; nothing is overwritten")
    p.add_argument("--layout", choices=("plain", "nbgrader", "otter", "slides"), default="plain",
                   help="for whom (default: plain)")
    p.add_argument("--lessons", type=Path, default=Path("lessons"), metavar="FOLDER",
                   help="the lessons themselves (default: lessons, as in a clone)")
    p.epilog = EPILOG


def run(args) -> None:
    """Write, and say how many."""
    from clipmini.course.layouts import lecture, save, write

    if args.layout == "slides":
        if args.folder.suffix != ".ipynb" or args.folder.exists():
            raise ValueError(f"{str(args.folder)!r}: slides are one file; give a new name that ends in .ipynb")
        book = lecture(args.lessons)
        save(book, args.folder)
        print(f"{len(book['cells'])} cells in {args.folder}; now: jupyter nbconvert --to slides {args.folder}")
        return
    written = write(args.lessons, args.folder, args.layout)
    print(f"{len(written)} lessons in {args.folder}, without solutions" if args.layout == "plain" else
          f"{len(written)} lessons in {args.folder}, as {args.layout} takes them")
