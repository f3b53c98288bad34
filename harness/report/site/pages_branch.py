"""A written report as a folder or branch that a web server publishes as it is: stable addresses, nothing to build."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import HarnessError, UserError
from harness.io.atomic import replacing, unwritable
from harness.report.leaderboard.board import Leaderboard
from harness.report.site.citation import harness_bibtex

BRANCH = "gh-pages"
# Every file that we published, one a line: the next time those are removed that are no longer written, and no others.
LIST = "files.txt"
# Without it GitHub runs the files through Jekyll, which leaves some out.
EMPTY = ".nojekyll"


def publish_site(leaderboard: Leaderboard, written: Sequence[Path], target: str) -> str:
    """Publish a report to a directory, or to the branch of the current repository; return how to push it, if at all.

    Raises:
        UserError: as `published_files`, `publish_directory` and `publish_branch`.
    """
    files = published_files(leaderboard, written)
    if target != BRANCH:
        publish_directory(files, Path(target))
        return ""
    rows = [row for board in leaderboard.boards for row in board.rows]
    runs = sum(len(row.runs) for row in rows)
    return publish_branch(files, f"Leaderboard of {len({row.method for row in rows})} methods, {runs} runs")


def published_files(leaderboard: Leaderboard, written: Sequence[Path]) -> dict[str, bytes]:
    """Return what is published, by address: a report, `.nojekyll`, `CITATION.bib` and `data/leaderboard.json`.

    `written` are the files of the report that `write_report` returned; the pages lie below the first one's directory.

    Raises:
        UserError: the report has no pages.
    """
    first = next((path for path in written if path.name == "index.html"), None)
    if first is None:
        raise UserError("--publish: needs the pages of the report; add html to --formats")
    site = first.parent
    pages = [path for path in site.glob("*/**/*") if path.is_file()]
    names = {path.relative_to(site).as_posix(): path for path in [*written, *pages]}
    files = {name: path.read_bytes() for name, path in names.items() if "/." not in f"/{name}"}
    files[EMPTY] = b""
    files["CITATION.bib"] = harness_bibtex().encode() + b"\n"
    document = json.dumps(leaderboard.to_dict(), indent=1, sort_keys=True, allow_nan=False)
    files["data/leaderboard.json"] = document.encode() + b"\n"
    files[LIST] = "".join(f"{name}\n" for name in sorted({*files, LIST})).encode()
    return dict(sorted(files.items()))


def publish_directory(files: Mapping[str, bytes], directory: Path) -> None:
    """Write the files into a directory; of an earlier report, pages that are gone are removed. Other files stay.

    Raises:
        UserError: a file of that name is there that no earlier report wrote.
        Unwritable: the directory cannot be written.
    """
    if directory.exists() and not directory.is_dir():
        raise UserError(f"--publish {directory}: is a file; name a directory, or {BRANCH}")
    listed = directory / LIST
    earlier = _listed(listed.read_bytes() if listed.is_file() else b"")
    foreign = [name for name in files.keys() - earlier - {EMPTY} if (directory / name).exists()]
    if foreign:
        raise UserError(
            f"--publish {directory}: {min(foreign)} is there and not from an earlier report; name another directory"
        )
    # The list first: whatever is cut off afterwards still counts as ours.
    for name in sorted(files, key=lambda name: name != LIST):
        path = directory / name
        if not path.is_file() or path.read_bytes() != files[name]:
            with replacing(path) as temporary:
                temporary.write_bytes(files[name])
    for name in earlier - files.keys():
        try:
            (directory / name).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(directory / name, error) from error


def publish_branch(files: Mapping[str, bytes], message: str, repository: Path = Path()) -> str:
    """Commit the files to the branch `gh-pages` of a git repository; return the command that pushes it.

    Working tree, index and current branch stay as they are, and so do other files of the branch. Nothing is pushed, and
    nothing committed if nothing changed.

    Raises:
        UserError: this is no git repository, the branch is checked out, or git refuses.
    """
    git = _Git(repository)
    local, remote = f"refs/heads/{BRANCH}", f"refs/remotes/origin/{BRANCH}"
    if f"branch {local}" in git("worktree", "list", "--porcelain").splitlines():
        raise UserError(
            f"--publish {BRANCH}: the branch is checked out; switch to another one, or publish to a directory"
        )
    tips = dict(line.split()[::-1] for line in git("for-each-ref", "--format=%(objectname) %(refname)").splitlines())
    tip = tips.get(local) or tips.get(remote)
    with tempfile.TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        if tip:
            git("read-tree", tip, env=index)
            names = git("ls-files", "-z", env=index).split("\0")
            earlier = _listed(git("show", f"{tip}:{LIST}").encode() if LIST in names else b"")
            if foreign := sorted((files.keys() - earlier - {EMPTY}) & set(names)):
                raise UserError(f"--publish {BRANCH}: {foreign[0]} is on the branch and not from an earlier report")
            gone = "".join(f"0 {'0' * len(tip)}\t{name}\0" for name in earlier - files.keys())
            git("update-index", "-z", "--index-info", env=index, text=gone)
        places = []
        for number, content in enumerate(files.values()):
            place = Path(scratch) / str(number)
            place.write_bytes(content)
            places.append(f"{place}\n")
        hashes = git("hash-object", "-w", "--no-filters", "--stdin-paths", text="".join(places)).split()
        entries = "".join(f"100644 {each}\t{name}\0" for each, name in zip(hashes, files, strict=True))
        git("update-index", "-z", "--index-info", env=index, text=entries)
        tree = git("write-tree", env=index).strip()
    if not tip or git("rev-parse", f"{tip}^{{tree}}").strip() != tree:
        parent = ["-p", tip] if tip else []
        tip = git("commit-tree", tree, *parent, "-m", message).strip()
    # Only if nobody moved the branch meanwhile.
    git("update-ref", "-m", message, local, tip, tips.get(local, ""))
    remotes = git("remote").split()
    name = "origin" if "origin" in remotes or not remotes else remotes[0]
    return shlex.join(["git", *(["-C", str(repository)] if repository != Path() else []), "push", name, BRANCH])


class _Git:
    """Calls git in one repository."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository

    def __call__(self, *arguments: str, env: Mapping[str, str] | None = None, text: str = "") -> str:
        """Return what git prints; raises UserError with git's reason if it refuses."""
        command = ["git", "-C", str(self._repository), *arguments]
        try:
            done = subprocess.run(command, input=text.encode(), capture_output=True, env={**os.environ, **(env or {})})
        except OSError as error:
            raise HarnessError(f"--publish {BRANCH}: git cannot be started ({error.strerror})") from error
        if done.returncode:
            reason = " ".join(done.stderr.decode(errors="replace").split())[:300]
            raise UserError(f"--publish {BRANCH}: git {arguments[0]}: {reason}")
        return done.stdout.decode(errors="surrogateescape")


def _listed(text: bytes) -> set[str]:
    """Names that a list of files holds; what would lead out of the folder is not ours."""
    names = text.decode(errors="replace").splitlines()
    return {name for name in names if name and not name.startswith("/") and ".." not in name.split("/")}
