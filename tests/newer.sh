#!/usr/bin/env bash
# Unpacks packages of Debian's next release into a folder: newer.sh FOLDER PACKAGE...
# They are what users run today. Nothing is installed.
set -euo pipefail
folder=$(realpath -m "$1")
shift
packages=("$@")
[ "$(cat "$folder/complete" 2>/dev/null)" = "${packages[*]}" ] && exit
mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian testing main" >"$folder/sources.list"
apt=(apt-get -q -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$folder/lists"
    -o "Dir::Cache=$folder/cache" -o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none)
cd "$folder"
timeout 300 "${apt[@]}" update && timeout 300 "${apt[@]}" download "${packages[@]}" || {
    echo "expected ${packages[*]} of Debian testing, but could not get them; try again with a network" >&2
    exit 1
}
for package in "${packages[@]}"; do
    dpkg -x "$package"_*.deb .
done
rm -- *.deb
echo "${packages[*]}" >complete
