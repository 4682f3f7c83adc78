"""Lays the files that we need out of libtorch's wheels into a folder. Knows nothing of downloads or caches.

usage: unpack_wheels.py cpu|cuda WHEELS_DIR DESTINATION

cpu:  include/ and lib/, what a build links and what runs without a GPU
cuda: lib-cuda/, what is opened at run time where there is a GPU; apart, because torch-sys links whatever it finds in lib/
"""

import pathlib
import re
import shutil
import sys
import zipfile

# Pattern of a file inside a wheel -> where it goes.
CPU = [
    (r"torch/(include/.+)", r"\1"),
    (r"torch/(lib/(?:libtorch_cpu\.so|libc10\.so|libgomp\.so\.1))", r"\1"),
    (r"nvidia/cu13/(lib/(?:libcudart|libcupti)\.so\.13)", r"\1"),
]
CUDA = [
    (r"torch/lib/((?:libtorch_cuda|libtorch_cuda_linalg|libc10_cuda|libcaffe2_nvrtc|libtorch_nvshmem)\.so)", r"lib-cuda/\1"),
    # All that NVIDIA's wheels bring, but what nothing here opens.
    (r"nvidia/\w+/lib/((?!libnvblas|libcufftw|libcusolverMg|[\w-]+\.alt\.)[\w-]+\.so[.\d]*)", r"lib-cuda/\1"),
]

# The wheel's own libtorch.so pulls in all of CUDA; this one gives the linker the CPU side alone.
LINKER_SCRIPT = "INPUT(-ltorch_cpu -lc10)\n"


def unpack(wheels, destination, table):
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                for pattern, place in table:
                    found = re.fullmatch(pattern, member)
                    if found and not member.endswith("/"):
                        extract(archive, member, destination / found.expand(place))


def extract(archive, member, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, open(path, "wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)


def main(kind, wheels, destination):
    if kind == "cpu":
        unpack(wheels, destination, CPU)
        (destination / "lib" / "libtorch.so").write_text(LINKER_SCRIPT)
    else:
        unpack(wheels, destination, CUDA)


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("cpu", "cuda"):
        sys.exit(__doc__)
    main(sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
