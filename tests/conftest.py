"""Shared fixtures. `shared` points at the folder beside the repository that holds real data and parity cases."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from harness.data.bank import Bank
from harness.data.cards import find_card, open_bank
from harness.tracking import client
from harness.tracking import empty_store as empty_stores
from tests.browser import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SHARED = Path(__file__).resolve().parents[2] / "shared"

# Several test processes share the cores, where threads would only wait for each other; those of the few tests that want
# two wait asleep, not in a loop. Torch, which reads this, is not imported yet.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Hundreds of thousands of objects stay to the end: torch's, MLflow's. Looking at them again and again takes a tenth of
# the time.
gc.set_threshold(50_000, 20, 50)
# How fast a machine draws examples, or goes through one, says nothing about what they show.
hypothesis.settings.register_profile("suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Several test processes take modules in the order below; xdist would keep those of one long test for last."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with modules that hold a slow test: the short ones at the end keep all processes busy until it is over."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> Iterator[None]:
    """Ctrl-C is heard, also where the tests were started in the background by a shell that lets it be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `../shared`; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (real data and parity cases)")
    return SHARED


@pytest.fixture(scope="session")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packed sets in the layout their users have."""
    target = tmp_path_factory.mktemp("real")
    subprocess.run([sys.executable, str(shared / "real" / "unpack.py"), str(target)], check=True, capture_output=True)
    return target


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the demo set, generated once."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_HOME", str(home))
        open_bank(find_card("demo"), None)
    return home


@pytest.fixture
def demo(demo_home: Path, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """The demo bank, with HARNESS_HOME set to where it lies."""
    monkeypatch.setenv("HARNESS_HOME", str(demo_home))
    return open_bank(find_card("demo"), None)


@pytest.fixture(scope="session")
def store_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the empty store of MLflow is kept that all new ones are copies of; making one takes seconds."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _one_empty_store(store_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests have data directories of their own, but need not make an empty store each."""
    monkeypatch.setattr(empty_stores, "cache_dir", lambda: store_cache)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory, store_cache: Path) -> Path:
    """A fresh SQLite store of MLflow, for processes that a test starts."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(empty_stores, "cache_dir", lambda: store_cache)
        client._prepare_sqlite(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug on a test, and some write thousands of files."""
    monkeypatch.setattr("harness.io.atomic.sync", lambda path: None)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes to the user's own data directory or reads their MLflow server."""
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def harness(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process; returns (exit code, standard output, standard error)."""
    from harness.cli.app import main

    def call(*arguments: str) -> tuple[int, str, str]:
        # In this process, where tests can replace parts; what workers do has tests of its own.
        if arguments[:1] in (("run",), ("study",)) and "--executor" not in arguments:
            arguments = (*arguments, "--executor", "inline")
        monkeypatch.setattr("sys.argv", ["harness", *arguments])
        capsys.readouterr()
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        else:
            code = 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    pytest.importorskip("playwright")
    with chromium() as launched:
        yield launched


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page; whatever it writes to the console, throws, or asks of a network fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    opened = context.new_page()
    trouble: list[str] = []
    opened.on("console", lambda message: trouble.append(message.text))
    opened.on("pageerror", lambda error: trouble.append(str(error)))
    opened.on("dialog", lambda dialog: trouble.append(f"dialog {dialog.message}"))
    opened.on("request", lambda request: trouble.append(request.url) if request.url.startswith("http") else None)
    yield opened
    context.close()
    assert trouble == []
