"""What a process frees and asks for again comes without the kernel's clearing it, and can be given back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")

CODE = """
import resource, sys
from pathlib import Path
from harness.io.heap import give_back, keep_freed

SIZE = 200 << 20

def held():
    return 1024 * int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])

def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * SIZE
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages = SIZE // resource.getpagesize()
start = held()
if sys.argv[1] == "kept":
    keep_freed()
first, second, after = step(), step(), held()
give_back()
print(first > pages // 10, second > pages // 10, after - start > SIZE // 2, held() - start > SIZE // 2)
"""


@pytest.mark.parametrize(("how", "seen"), [("kept", "True False True False"), ("plain", "True True False False")])
def test_the_second_step_asks_the_kernel_for_nothing(how: str, seen: str) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == seen
