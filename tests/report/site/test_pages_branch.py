"""Publishing: what is written is complete, nothing that is not ours is touched."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.report.leaderboard.board import Failure, Leaderboard
from harness.report.site.pages_branch import publish_branch, publish_directory, publish_site, published_files

BOARDS = Leaderboard((), (Failure("run-1", "alpha", "toy", 0, "last", "loss became NaN"),))


def published(site: Path) -> dict[str, bytes]:
    return published_files(BOARDS, [site / "index.html"])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A report whose LaTeX table is of an earlier time."""
    root = tmp_path / "report"
    for name in ("index.html", "leaderboard.tex", "runs/a.html", "runs/b.html", "runs/.b.html.tmp"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(f"page {name}\r\n".encode())
    return root


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, a staged and an unstaged change and an untracked file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "A")
    git(root, "config", "user.email", "a@example.org")
    git(root, "config", "core.autocrlf", "true")
    (root / "code.py").write_text("1\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    (root / "code.py").write_text("2\n")
    git(root, "add", ".")
    (root / "code.py").write_text("3\n")
    (root / "index.html").write_text("mine\n")
    return root


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=True)
    return done.stdout.decode().strip()


def state(root: Path) -> tuple[str, ...]:
    """Everything of a repository but its other branches."""
    diffs = git(root, "diff"), git(root, "diff", "--cached"), git(root, "status", "--porcelain")
    return (*diffs, git(root, "symbolic-ref", "HEAD"), git(root, "rev-parse", "HEAD"))


def branch(root: Path) -> dict[str, bytes]:
    names = git(root, "ls-tree", "-r", "--name-only", "gh-pages").splitlines()
    show = ["git", "-C", str(root), "show"]
    return {name: subprocess.check_output([*show, f"gh-pages:{name}"]) for name in names}


def test_the_files(site: Path) -> None:
    files = published(site)
    extra = {".nojekyll", "CITATION.bib", "data/leaderboard.json", "files.txt"}
    assert set(files) == {"index.html", "runs/a.html", "runs/b.html"} | extra
    assert files["runs/a.html"] == (site / "runs/a.html").read_bytes()
    assert json.loads(files["data/leaderboard.json"]) == json.loads(json.dumps(BOARDS.to_dict()))
    assert files["CITATION.bib"].startswith(b"@software{")
    assert files["files.txt"].decode().splitlines() == sorted(files)
    with pytest.raises(UserError, match="add html to --formats"):
        published_files(BOARDS, [site / "leaderboard.tex"])


def test_a_directory_is_brought_up_to_date(site: Path, tmp_path: Path) -> None:
    target = tmp_path / "pages"
    assert publish_site(BOARDS, [site / "index.html"], str(target)) == ""
    (target / "CNAME").write_text("example.org\n")
    (target / "runs" / "notes.txt").write_text("mine\n")
    unchanged = (target / "index.html").stat().st_ino
    (site / "runs/b.html").rename(site / "runs/c.html")
    publish_site(BOARDS, [site / "index.html"], str(target))
    there = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert there == {*published(site), "CNAME", "runs/notes.txt"}
    assert (target / "index.html").stat().st_ino == unchanged


def test_a_directory_of_somebody_else_is_left_alone(site: Path, tmp_path: Path) -> None:
    target = tmp_path / "home"
    target.mkdir()
    (target / "index.html").write_text("mine\n")
    (target / ".nojekyll").touch()
    with pytest.raises(UserError, match=r"index\.html is there and not from an earlier report"):
        publish_directory(published(site), target)
    assert sorted(path.name for path in target.iterdir()) == [".nojekyll", "index.html"]
    with pytest.raises(UserError, match="is a file"):
        publish_directory(published(site), target / "index.html")


def test_the_branch_is_committed_beside_the_working_tree(
    site: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(repository)
    monkeypatch.chdir(repository)
    assert publish_site(BOARDS, [site / "index.html"], "gh-pages") == "git push origin gh-pages"
    assert state(repository) == before
    assert branch(repository) == published(site)
    assert git(repository, "log", "--format=%s", "gh-pages") == "Leaderboard of 0 methods, 0 runs"
    tip = git(repository, "rev-parse", "gh-pages")
    publish_site(BOARDS, [site / "index.html"], "gh-pages")
    assert git(repository, "rev-parse", "gh-pages") == tip
    assert not list((repository / ".git").glob("*.lock"))


def test_the_branch_keeps_what_is_not_ours_and_drops_old_pages(site: Path, repository: Path, tmp_path: Path) -> None:
    publish_branch(published(site), "one", repository)
    git(repository, "worktree", "add", "-q", str(tmp_path / "tree"), "gh-pages")
    (tmp_path / "tree" / "CNAME").write_text("example.org\n")
    git(tmp_path / "tree", "add", ".")
    git(tmp_path / "tree", "commit", "-q", "-m", "name")
    (site / "runs/b.html").rename(site / "runs/c.html")
    files = published(site)
    with pytest.raises(UserError, match="checked out"):
        publish_branch(files, "two", repository)
    git(repository, "worktree", "remove", "--force", str(tmp_path / "tree"))
    publish_branch(files, "two", repository)
    found = branch(repository)
    assert found.pop("CNAME").strip() == b"example.org"
    assert found == files
    assert git(repository, "log", "--format=%s", "gh-pages").splitlines() == ["two", "name", "one"]


def test_a_clone_goes_on_from_the_remote_branch(site: Path, repository: Path, tmp_path: Path) -> None:
    publish_branch(published(site), "one", repository)
    git(tmp_path, "clone", "-q", str(repository), "clone")
    clone = tmp_path / "clone"
    git(clone, "config", "user.name", "B")
    git(clone, "config", "user.email", "b@example.org")
    (site / "index.html").write_text("new\n")
    command = publish_branch(published(site), "two", clone)
    assert git(clone, "log", "--format=%s", "gh-pages").splitlines() == ["two", "one"]
    subprocess.run(command.split(), check=True, capture_output=True)
    assert branch(repository)["index.html"] == b"new\n"


def test_foreign_branches_and_missing_repositories_are_refused(site: Path, repository: Path, tmp_path: Path) -> None:
    files = published(site)
    (repository / "index.html").rename(tmp_path / "kept")
    git(repository, "checkout", "-q", "-f", "-b", "gh-pages")
    (repository / "index.html").write_text("mine\n")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "mine")
    git(repository, "checkout", "-q", "main")
    tip = git(repository, "rev-parse", "gh-pages")
    with pytest.raises(UserError, match=r"index\.html is on the branch and not from an earlier report"):
        publish_branch(files, "two", repository)
    assert git(repository, "rev-parse", "gh-pages") == tip
    with pytest.raises(UserError, match="not a git repository"):
        publish_branch(files, "one", tmp_path)
    git(repository, "branch", "-q", "-D", "gh-pages")
    git(repository, "config", "--unset", "user.email")
    git(repository, "config", "user.useConfigOnly", "true")
    with pytest.raises(UserError, match="git commit-tree: "):
        publish_branch(files, "one", repository)
