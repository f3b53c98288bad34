"""What commits change in a repository, and the content of files at a commit: real git, nothing of it executed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.errors import UserError
from harness.submissions.archive import plain

# Nothing that a file of the repository or somebody's settings could ask git to run.
_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false")
_SECONDS = 600
_REGULAR = ("100644", "100755")


@dataclass(frozen=True)
class Change:
    """One path that differs. `kind` is git's letter: A added, M modified, D deleted, T of another type.

    `mode` is that of the new file, `blob` its content's name.
    """

    path: str
    kind: str
    mode: str
    blob: str

    @property
    def regular(self) -> bool:
        """Whether the new file is a plain one: no link, no other repository."""
        return self.mode in _REGULAR


@dataclass(frozen=True)
class History:
    """The git repository that a directory is the top of."""

    directory: Path

    def merge_base(self, base: str) -> str:
        """Return the commit from which the present one and `base` went apart.

        Raises:
            UserError: the directory is no top of a repository, `base` names no commit, or they have nothing in common.
        """
        top = self._text("rev-parse", "--show-toplevel").strip()
        if Path(top).resolve() != self.directory.resolve():
            raise UserError(f"{self.directory}: is not the top of its git repository, which is {top}")
        if not base or base.startswith("-"):
            raise UserError(f"--base {plain(base)!r}: no name of a commit")
        self._commit(f"{base}^{{commit}}", f"--base {plain(base)}: no such branch or commit; fetch it first")
        self._commit("HEAD^{commit}", f"{self.directory}: nothing is committed yet")
        try:
            return self._text("merge-base", base, "HEAD").strip()
        except UserError as error:
            raise UserError(f"--base {plain(base)}: has no commit in common; fetch all of the history") from error

    def changes(self, base: str) -> list[Change]:
        """Return what the present commit has other than the commit `base`; a renamed file is one gone, one added."""
        arguments = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-ext-diff", "--no-abbrev", base, "HEAD")
        words = self._bytes(*arguments).split(b"\0")
        found = []
        for head, path in zip(words[::2], words[1::2], strict=False):
            _, mode, _, blob, kind = head.decode().lstrip(":").split(" ")
            found.append(Change(path.decode(errors="surrogateescape"), kind[0], mode, blob))
        return sorted(found, key=lambda change: change.path)

    def uncommitted(self) -> list[str]:
        """Return the paths whose content is not that of the present commit."""
        words = self._bytes("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all").split(b"\0")
        return sorted(word[3:].decode(errors="surrogateescape") for word in words if word)

    def files(self, commit: str, places: Sequence[str]) -> dict[str, str]:
        """Return the plain files below `places` as a commit has them: path -> name of the content."""
        found = {}
        for line in self._bytes("ls-tree", "-r", "-z", "--full-tree", commit, "--", *places).split(b"\0"):
            head, _, path = line.partition(b"\t")
            if head and (words := head.decode().split(" "))[0] in _REGULAR:
                found[path.decode(errors="surrogateescape")] = words[2]
        return found

    def size(self, blob: str) -> int:
        """Return the bytes of a file's content."""
        return int(self._text("cat-file", "-s", blob))

    def content(self, blob: str, limit: int, where: str) -> bytes:
        """Return a file's content; raises UserError where it has more than `limit` bytes."""
        if (size := self.size(blob)) > limit:
            raise UserError(f"{where}: has {size:,} bytes, at most {limit:,} are read")
        return self._bytes("cat-file", "blob", blob)

    def contents(self, blobs: Sequence[str]) -> Iterator[bytes]:
        """Yield the contents of many files, in order."""
        if not blobs:
            return
        data = self._bytes("cat-file", "--batch", given="".join(f"{blob}\n" for blob in blobs).encode())
        at = 0
        for _ in blobs:
            end = data.index(b"\n", at)
            size = int(data[at:end].split(b" ")[2])
            yield data[end + 1 : end + 1 + size]
            at = end + 2 + size

    def save(self, blob: str, path: Path) -> None:
        """Write a file's content to `path`."""
        with path.open("wb") as stream:
            self._run("cat-file", "blob", blob, stdout=stream)

    def _commit(self, name: str, otherwise: str) -> None:
        try:
            self._text("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        except UserError as error:
            raise UserError(otherwise) from error

    def _text(self, *arguments: str) -> str:
        return self._bytes(*arguments).decode(errors="replace")

    def _bytes(self, *arguments: str, given: bytes = b"") -> bytes:
        return self._run(*arguments, given=given).stdout

    def _run(
        self, *arguments: str, given: bytes = b"", stdout: IO[bytes] | int = subprocess.PIPE
    ) -> subprocess.CompletedProcess[bytes]:
        command = ["git", *_SAFE, "-C", str(self.directory), *arguments]
        # A hook or another tool may have pointed git elsewhere.
        own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        settings = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        try:
            return subprocess.run(
                command,
                input=given,
                stdout=stdout,
                stderr=subprocess.PIPE,
                check=True,
                timeout=_SECONDS,
                env={**own, **settings},
            )
        except FileNotFoundError as error:
            raise UserError("git: is not installed; `harness board check` needs it") from error
        except subprocess.CalledProcessError as error:
            said = plain(error.stderr.decode(errors="replace"))
            raise UserError(f"{self.directory}: git {arguments[0]} failed ({said})") from error
        except subprocess.TimeoutExpired as error:
            raise UserError(f"{self.directory}: git {arguments[0]} took longer than {_SECONDS} s") from error
