#!/usr/bin/env bash
# Unpacks the Debian package and what it depends on into an empty folder, and
# fixes a model in there, where nothing else is.
#
# usage: try_package.sh fqat-opt_VERSION_amd64.deb MODEL.pt
set -euo pipefail

readonly package=$(realpath "$1") model=$(realpath "$2")
work=$(mktemp -d)
readonly work root=$work/root
trap 'rm -rf "$work"' EXIT
mkdir -p "$root/tmp" "$work/packages"
# Apt downloads as a user of its own.
chmod 755 "$work" && chmod 777 "$work/packages"

# The whole of what the package asks for, by name.
depends=$(dpkg-deb --field "$package" Depends | sed 's/([^)]*)//g; s/,/ /g')
# shellcheck disable=SC2086 # they are several
mapfile -t needed < <(apt-cache depends --recurse --no-recommends --no-suggests \
  --no-conflicts --no-breaks --no-replaces --no-enhances $depends |
  grep -E '^[a-z]' | sort -u)
(cd "$work/packages" && apt-get download "${needed[@]}" >/dev/null)
for file in "$work"/packages/*.deb "$package"; do
  dpkg-deb --extract "$file" "$root"
done
echo "unpacked $(basename "$package") and ${needed[*]}"

cp "$model" "$root/tmp/model.pt"
# Programs find their libraries from where they are, which /proc tells.
mkdir -p "$root/proc"
as_root=()
if [[ $EUID -ne 0 ]]; then as_root=(--map-root-user); fi
run() {
  unshare "${as_root[@]}" --mount sh -c '
    mount --rbind /proc "$0/proc"
    PATH=$PATH:/usr/sbin exec env -i "$(PATH=$PATH:/usr/sbin command -v chroot)" "$0" "$@"
  ' "$root" "$@"
}
run /usr/bin/fqat-opt --version
run /usr/bin/fqat-dump --version
run /usr/bin/fqat-opt /tmp/model.pt -o /tmp/fixed.pt
run /usr/bin/fqat-opt --check /tmp/fixed.pt
echo "the package works in an empty folder"
