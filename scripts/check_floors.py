# SPDX-License-Identifier: GPL-2.0
"""Do the arrows of kernel/ go one way, and those of userspace/lib?  A part of check.py.

A file may include what is on its own floor or below. Its room is its folder in kernel/, or for a file
that is in none its name. kernel/include is for everyone. Only kernel/core and kernel/include are for
user space and its tests. A header declares what the .c of its name defines; where several .c of its
folder define it, they are ways to do the same. No header includes itself by way of others.
"""
import graphlib
import os
import re
from pathlib import Path
from typing import Dict, Iterator, List

# The lowest first.
FLOORS = [{"include"}, {"core"}, {"region", "host", "kvm", "watch"}, {"preserve"}, {"restore"}, {"state"},
          {"debugfs", "clock_fd", "luo", "ioctl"}, {"device"}, {"main"}]
FUNCTION = re.compile(r"^(?!static|typedef|#|//)[A-Za-z_][\w \t*]*?\b(\w+)\([^;{}]*\)[\w\s()]*[;{]", re.M)


def room(path: Path) -> str:
    return path.parts[1] if len(path.parts) > 2 else path.stem


def faults(root: Path) -> Iterator[str]:
    floor = {name: number for number, rooms in enumerate(FLOORS) for name in rooms}
    text = {path.relative_to(root): re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
            for top in ("kernel", "userspace", "tests") for path in (root / top).rglob("*.[ch]")
            # What `make` leaves there.
            if not re.search(r"^kch_probed|\.mod\.c$", path.name)}
    kernel = [path for path in text if path.parts[0] == "kernel"]
    checked = kernel + [path for path in text if path.parts[:2] == ("userspace", "lib")]
    yield from (f"{path}: {room(path)} is on no floor" for path in kernel if room(path) not in floor)

    includes: Dict[Path, List[Path]] = {}
    for path, code in text.items():
        for name in re.findall(r'^#include "([^"]+)"', code, re.M):
            near = Path(os.path.normpath(path.parent / name))
            own = [other for other in text if other.parts[0] == path.parts[0] and other.match(name)]
            for other in ([near] if near in text else own or [other for other in kernel if other.match(name)])[:1]:
                includes.setdefault(path, []).append(other)
                # tests/lives plays a host's life over the floors of the record.
                if other in kernel and path not in kernel and room(other) not in ("core", "include") and \
                        path.parts[:2] != ("tests", "lives"):
                    yield f"{path}: {other} is not for user space"
                elif path in kernel and floor.get(room(path), 99) < floor.get(room(other), 0):
                    yield f"{path}: {other} is on a higher floor"
    try:
        graphlib.TopologicalSorter(includes).prepare()
    except graphlib.CycleError as error:
        yield f"a circle: {' -> '.join(map(str, error.args[1]))}"

    functions = [(path, name) for path in checked for name in FUNCTION.findall(text[path])]
    for header, name in functions:
        files = sorted(path for path, other in functions
                       if other == name and path.suffix == ".c" and path.parts[0] == header.parts[0])
        if header.suffix == ".h" and ({file.parent for file in files} - {header.parent} or
                                      len(files) == 1 and files[0].stem != header.stem):
            yield f"{header}: {name}() is defined in {', '.join(map(str, files))}"
