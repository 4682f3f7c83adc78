#!/usr/bin/env bash
# stand-in.sh base|redis|postgres FOLDER: fills FOLDER with the files of an image that would otherwise be pulled, taken from the Debian packages that
# this machine has installed: programs, and the libraries that they name. For tests on machines without a registry; never published.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
die() { printf 'images: %s\n' "$*" >&2; exit 1; }
what=$1 root=$2

# A program under the name it was asked for, and each library where its loader looks for it.
take() {
    local file library
    for file in "$@"; do
        [ -e "$file" ] || die "$file is missing; run make setup"
        put "$file"
        { ldd "$file" 2>/dev/null | grep -o '/[^ ]*' || true; } | while read -r library; do put "$library"; done
    done
}

# Follows links, so that the name exists whatever it pointed to; the folders of /usr are merged, as in Debian.
put() {
    local to
    to="$root/$(sed -E 's#^/(bin|sbin|lib|lib64)/#/usr/\1/#' <<<"$1")"
    [ -e "$to" ] && return
    mkdir -p "${to%/*}"
    cp -L --preserve=mode,timestamps "$1" "$to"
}

merge_usr() {
    local folder
    for folder in bin sbin lib lib64; do
        mkdir -p "$root/usr/$folder"
        [ -e "$root/$folder" ] || ln -s "usr/$folder" "$root/$folder"
    done
}

merge_usr
case $what in
    base)
        take /bin/dash /bin/bash /bin/{cat,chmod,chown,cp,date,echo,ls,mkdir,mv,rm,rmdir,sleep} /usr/bin/{cut,env,head,id,stat,tail,test,tr,wc,whoami} /bin/{sed,grep}
        ln -sf dash "$root/usr/bin/sh"
        # What any dynamically linked program of ours names, whether or not the tools above do.
        libc=$(ldd /bin/dash | grep -o '/[^ ]*libc\.so\.6')
        for library in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libutil.so.1 libgcc_s.so.1 libstdc++.so.6 libresolv.so.2 libnss_dns.so.2 libnss_files.so.2; do
            put "${libc%/*}/$library"
        done
        mkdir -p "$root/usr/lib/locale"
        cp -rL /usr/lib/locale/C.utf8 "$root/usr/lib/locale/"
        mkdir -p "$root"/{etc,tmp,run,var/run}
        chmod 1777 "$root/tmp"
        printf 'root:x:0:0:root:/:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\nredis:x:998:998::/data:/bin/sh\nnonroot:x:65532:65532::/:/bin/sh\n' >"$root/etc/passwd"
        printf 'root:x:0:\npostgres:x:999:\nredis:x:998:\nnonroot:x:65532:\n' >"$root/etc/group"
        printf 'hosts: files dns\npasswd: files\ngroup: files\n' >"$root/etc/nsswitch.conf"
        ;;
    redis)
        take /usr/bin/redis-server /usr/bin/redis-cli
        mkdir -p "$root/data"
        chmod 0777 "$root/data"
        ;;
    postgres)
        home=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -1)
        [ -n "$home" ] || die "Postgres is missing; run make setup"
        home=${home%/bin/initdb}
        take "$home"/bin/{initdb,postgres,psql,pg_ctl,pg_isready,pg_dump}
        # Postgres looks for its files beside its binary, and for some where they were packed.
        take "$home"/lib/{plpgsql,dict_snowball,libpqwalreceiver}.so "$home"/lib/*_and_*.so
        for program in initdb postgres psql pg_isready pg_dump; do ln -sf "$home/bin/$program" "$root/usr/bin/$program"; done
        mkdir -p "$root/usr/share/postgresql" "$root/var/lib/postgresql/data" "$root/usr/local/bin"
        cp -rL "/usr/share/postgresql/${home##*/}" "$root/usr/share/postgresql/"
        find "$root/usr/share/postgresql" \( -name man -o -name extension -o -name '*.mo' \) -prune -exec rm -rf {} +
        mkdir -p "$root/usr/share/postgresql/${home##*/}/extension"
        cp /usr/share/postgresql/"${home##*/}"/extension/plpgsql* "$root/usr/share/postgresql/${home##*/}/extension/"
        mkdir -p "$root/usr/share/zoneinfo/Etc"
        cp -L /usr/share/zoneinfo/UTC "$root/usr/share/zoneinfo/"
        cp -L /usr/share/zoneinfo/Etc/UTC "$root/usr/share/zoneinfo/Etc/"
        cp images/stand-ins/postgres.sh "$root/usr/local/bin/docker-entrypoint.sh"
        chmod 0755 "$root/usr/local/bin/docker-entrypoint.sh"
        ;;
    *) die "no stand-in for '$what'" ;;
esac
