#!/usr/bin/env bash
# Builds the Dockerfile with buildah and runs its image, as root. Nothing is pulled: the image that it builds in is made
# of the Go, bash, make and modules of this machine. The files are in a folder below /var/tmp (or IMAGE_FOLDER) and
# are removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

[ "$(id -u)" = 0 ] || { echo "image.sh: only root can build in a chroot" >&2; exit 1; }
folder=$(mktemp -d "${IMAGE_FOLDER:-/var/tmp}/weixin_exporter-image-XXXXXX")
# No layers and no namespaces: both work inside of a container as well.
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
storage=(--storage-driver vfs --root "$folder/storage" --runroot "$folder/run")
image=localhost/weixin_exporter:test
golang=localhost/golang:test

step() { printf '\n== %s %s\n' "$(date -u +%H:%M:%S)" "$*"; }

build() { buildah "${storage[@]}" "$@"; }

finish() {
  build umount --all >/dev/null 2>&1 || true
  rm -rf "$folder"
}
trap finish EXIT

# with_libraries copies programs, and the libraries that they are linked with.
with_libraries() { # target program…
  local target=$1 program
  for program in "${@:2}"; do
    cp -L --parents "$program" "$target"
    { ldd "$program" 2>/dev/null || true; } | grep -o '/[^ ]*' | xargs -r cp -L --parents -t "$target"
  done
}

# modules copies the modules that the program and its tests need, in the form that the Go command downloads, and what is
# known of others, which it reads to choose versions.
modules() { # target
  local cache
  cache=$(go env GOMODCACHE)/cache/download
  {
    go mod download -json | jq -r '.Zip | strings'
    find "$cache" -name '*.mod' -o -name '*.info'
  } | sed "s|^$cache/||" | tar -C "$cache" -c -T - | tar -C "$1" -x
}

step "an image with Go, as the Dockerfile expects it"
container=$(build from scratch)
root=$(build mount "$container")
mkdir -p "$root"/{tmp,root,etc/ssl/certs,usr/bin,usr/local/go,modules}
chmod 1777 "$root/tmp"
ln -s usr/bin "$root/bin"
with_libraries "$root" /usr/bin/{bash,env,make,mkdir}
ln -s bash "$root/usr/bin/sh"
echo root:x:0:0:root:/root:/bin/bash >"$root/etc/passwd"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp -a "$(go env GOROOT)"/{bin,lib,pkg,src,go.env,VERSION} "$root/usr/local/go/"
modules "$root/modules"
build config --env PATH=/usr/local/go/bin:/usr/bin --env GOPATH=/go --env GOTOOLCHAIN=local "$container"
build commit --quiet --rm "$container" "$golang" >/dev/null

step "the image of the Dockerfile"
build build --quiet --format docker --pull=never --tag "$image" \
  --build-arg BUILD_IMAGE="$golang" --build-arg GOPROXY=file:///modules \
  --build-arg VERSION=1.2.3-image --build-arg REVISION=0123456789abcdef .

step "what is in it"
container=$(build from --pull=never "$image")
root=$(build mount "$container")
find "$root" -mindepth 1 -printf '%M %U:%G /%P\n' | sort -k 3 | tee "$folder/files"
diff - "$folder/files" <<END
drwxr-xr-x 0:0 /bin
-rwxr-xr-x 0:0 /bin/weixin_exporter
drwxr-xr-x 0:0 /etc
drwxr-xr-x 0:0 /etc/ssl
drwxr-xr-x 0:0 /etc/ssl/certs
-rw-r--r-- 0:0 /etc/ssl/certs/ca-certificates.crt
drwxr-xr-x 0:0 /var
drwxr-xr-x 0:0 /var/lib
drwxr-xr-x 65532:65532 /var/lib/weixin_exporter
END
build images --format '{{.Name}}:{{.Tag}} {{.Size}}' "$image"
build inspect --type image "$image" | jq .Docker.config >"$folder/settings.json"

step "running it"
# buildah has no option for a read-only root file system, and creates in it what it mounts. So that is there before, and
# each run has the folder mounted read-only in a namespace of its own, but for /run, where buildah leaves a file.
mkdir -p "$root"/{dev,proc,sys,run,etc/weixin_exporter}
touch "$root"/etc/{hostname,hosts,resolv.conf}
# Otherwise buildah mounts a volume of its own over the one of the test, or below it.
build config --volume /var/lib/weixin_exporter- "$container"
in_image=$folder/in_image
cat >"$in_image" <<END
#!/usr/bin/env bash
# Runs a program in the image: in_image CONFIGURATION DATA PROGRAM ARGUMENT…
set -e
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
mount --bind $root $root
mount -o remount,bind,ro $root
mount -t tmpfs -o mode=0755 tmpfs $root/run
exec buildah ${storage[*]} run --cap-drop=all \\
  --env "WEIXIN_EXPORTER_WEB_LISTEN_ADDRESS=\$WEIXIN_EXPORTER_WEB_LISTEN_ADDRESS" \\
  --volume "\$1:/etc/weixin_exporter:ro" --volume "\$2:/var/lib/weixin_exporter" $container -- "\${@:3}"
END
chmod +x "$in_image"
IMAGE_RUN="unshare --mount $in_image" IMAGE_SETTINGS=$folder/settings.json go test -count=1 -v -timeout 1h ./e2e -run '^TestImage$'
