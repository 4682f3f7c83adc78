"""added.py ARCHIVE N: the megabytes that an image's layers hold after the first N, which belong to its base."""

import json
import sys
import tarfile

archive, skip = sys.argv[1], int(sys.argv[2])
with tarfile.open(archive) as tar:
    manifest = json.load(tar.extractfile("manifest.json"))
    layers = manifest[0]["Layers"][skip:]
    sizes = [member.size for name in layers for member in [tar.getmember(name)] if True]
print(-(-sum(sizes) // 1_000_000))
