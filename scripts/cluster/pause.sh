#!/usr/bin/env bash
# pause.sh FILE: writes an image with the one process that holds a pod's namespaces, so that none has to be pulled.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Sleeps until it is told to go; as process 1 of a shared pid namespace it also reaps.
cat >"$folder/pause.c" <<'EOC'
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void leave(int signal) { (void)signal; _exit(0); }
static void reap(int signal) { (void)signal; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) {
    signal(SIGINT, leave);
    signal(SIGTERM, leave);
    signal(SIGCHLD, reap);
    for (;;) pause();
}
EOC
mkdir "$folder/layer"
cc -O2 -static -s -o "$folder/layer/pause" "$folder/pause.c"
cat >"$folder/image.py" <<'EOP'
import hashlib, io, json, sys, tarfile
layer_dir, out = sys.argv[1:]
layer = io.BytesIO()
with tarfile.open(fileobj=layer, mode="w") as tar:
    tar.add(layer_dir + "/pause", arcname="pause")
config = {"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
          "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()]}}
manifest = [{"Config": "config.json", "RepoTags": ["localhost/pause:local"], "Layers": ["layer.tar"]}]
with tarfile.open(out, "w") as tar:
    for name, data in (("layer.tar", layer.getvalue()), ("config.json", json.dumps(config).encode()), ("manifest.json", json.dumps(manifest).encode())):
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
EOP
python3 "$folder/image.py" "$folder/layer" "$1"
