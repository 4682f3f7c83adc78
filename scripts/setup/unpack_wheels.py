"""Lays the files that we need out of libtorch's wheels into a folder: headers, libraries, and the linker script. Knows nothing of downloads or caches.

usage: unpack_wheels.py WHEELS_DIR DESTINATION
"""

import pathlib
import shutil
import sys
import zipfile

# Folder or file inside a wheel -> folder of ours. The CUDA-only libraries are left where they are: torch-sys links whatever it finds in lib/.
CPU = {
    "torch/include/": "include/",
    "torch/lib/libtorch_cpu.so": "lib/",
    "torch/lib/libc10.so": "lib/",
    "torch/lib/libgomp.so.1": "lib/",
    "nvidia/cu13/lib/libcudart.so.13": "lib/",
    "nvidia/cu13/lib/libcupti.so.13": "lib/",
}

# The wheel's own libtorch.so pulls in all of CUDA; this one gives the linker the CPU side alone.
LINKER_SCRIPT = "INPUT(-ltorch_cpu -lc10)\n"


def target_of(member, table):
    for source, folder in table.items():
        if member == source:
            return folder + pathlib.PurePosixPath(member).name
        if source.endswith("/") and member.startswith(source):
            return folder + member.removeprefix(source)
    return None


def main(wheels, destination):
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                target = target_of(member, CPU)
                if target is None or member.endswith("/"):
                    continue
                path = destination / target
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(path, "wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
    (destination / "lib" / "libtorch.so").write_text(LINKER_SCRIPT)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
